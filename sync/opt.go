package sync

// An Opt is a field that may be absent (nothing is said about it), null (it is
// known to be empty) or a value. The zero value is absent. Use it in a record
// type where the difference matters; a plain field is always a value.
type Opt[T any] struct {
	value T
	state optState
}

type optState uint8

const (
	optAbsent optState = iota
	optNull
	optValue
)

// Some returns an Opt that holds v.
func Some[T any](v T) Opt[T] { return Opt[T]{value: v, state: optValue} }

// Nothing returns an Opt that is null: known to be empty.
func Nothing[T any]() Opt[T] { return Opt[T]{state: optNull} }

// Get returns the value, and false when o is absent or null.
func (o Opt[T]) Get() (T, bool) { return o.value, o.state == optValue }

// IsAbsent reports whether o says nothing.
func (o Opt[T]) IsAbsent() bool { return o.state == optAbsent }

// IsNull reports whether o says that the field is empty.
func (o Opt[T]) IsNull() bool { return o.state == optNull }

// optional lets the schema read and write any Opt without knowing its type.
type optional interface {
	opt() (any, optState)
}

type optionalPointer interface {
	slot() any
	mark(optState)
}

func (o Opt[T]) opt() (any, optState) { return o.value, o.state }
func (o *Opt[T]) slot() any           { return &o.value }
func (o *Opt[T]) mark(s optState)     { o.state = s }
