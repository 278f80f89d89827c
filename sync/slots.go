package sync

import (
	"fmt"
	"reflect"
	"time"

	"github.com/tectari/dovetail"
)

func readTime(v reflect.Value) dovetail.Value {
	t := *v.Addr().Interface().(*time.Time)
	if t.IsZero() {
		return dovetail.Null()
	}
	return dovetail.Time(t)
}

func writeTime(v reflect.Value, x dovetail.Value) error {
	if x.IsEmpty() {
		v.SetZero()
		return nil
	}
	t, ok := x.Time()
	if !ok {
		return kindError("a time", x)
	}
	v.Set(reflect.ValueOf(t))
	return nil
}

func writeString(v reflect.Value, x dovetail.Value) error {
	if k := x.Kind(); k != dovetail.KindString && !x.IsEmpty() {
		return kindError("a string", x)
	}
	v.SetString(x.Text())
	return nil
}

func writeBool(v reflect.Value, x dovetail.Value) error {
	if x.Kind() != dovetail.KindBool && !x.IsEmpty() {
		return kindError("a bool", x)
	}
	v.SetBool(x.Bool())
	return nil
}

func writeInt(v reflect.Value, x dovetail.Value) error {
	n, ok := x.Int()
	if !ok && !x.IsEmpty() {
		return kindError("an integer", x)
	}
	if v.OverflowInt(n) {
		return fmt.Errorf("a number does not fit into %s", v.Type())
	}
	v.SetInt(n)
	return nil
}

func kindError(want string, x dovetail.Value) error {
	return fmt.Errorf("the field holds %s, the value is %s", want, x.Kind())
}

// codecOfOpt reads and writes an Opt through the codec of what it wraps.
func codecOfOpt(t reflect.Type) (func(reflect.Value) dovetail.Value, func(reflect.Value, dovetail.Value) error) {
	zero, _ := reflect.Zero(t).Interface().(optional).opt()
	read, write := codecOf(reflect.TypeOf(zero))
	if read == nil {
		return nil, nil
	}
	get := func(v reflect.Value) dovetail.Value {
		switch _, state := v.Interface().(optional).opt(); state {
		case optAbsent:
			return dovetail.Value{}
		case optNull:
			return dovetail.Null()
		}
		return read(reflect.ValueOf(v.Addr().Interface().(optionalPointer).slot()).Elem())
	}
	set := func(v reflect.Value, x dovetail.Value) error {
		v.SetZero()
		p := v.Addr().Interface().(optionalPointer)
		switch {
		case x.IsAbsent():
			return nil
		case x.IsNull():
			p.mark(optNull)
			return nil
		}
		p.mark(optValue)
		return write(reflect.ValueOf(p.slot()).Elem(), x)
	}
	return get, set
}

// encode reads record (a pointer to the struct) into slots, leaving slots whose
// bit is not in held absent.
func (s *schema) encode(record any, held []bool, into []dovetail.Value) {
	v := reflect.ValueOf(record).Elem()
	for i, read := range s.read {
		if held[i] {
			into[i] = read(v.Field(s.path[i]))
		} else {
			into[i] = dovetail.Value{}
		}
	}
}

// decode writes the slots that hold a value into record (a pointer to the
// struct). Absent slots leave the zero value.
func (s *schema) decode(slots []dovetail.Value, record any) error {
	v := reflect.ValueOf(record).Elem()
	for i, x := range slots {
		if x.IsAbsent() {
			continue
		}
		if err := s.write[i](v.Field(s.path[i]), x); err != nil {
			return &dovetail.Error{Fault: dovetail.Invalid, Op: "fill record", Field: s.names[i], Err: err}
		}
	}
	return nil
}
