package sync

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/tectari/dovetail"
)

// A schema maps the fields of a Go struct to slots, once.
type schema struct {
	names []string
	index map[string]int
	path  []int // struct field index of each slot
	read  []func(reflect.Value) dovetail.Value
	write []func(reflect.Value, dovetail.Value) error
}

var (
	timeType     = reflect.TypeFor[time.Time]()
	valueType    = reflect.TypeFor[dovetail.Value]()
	optionalType = reflect.TypeFor[optional]()
)

// compile reads the fields of T. A field's name is its json tag, else its Go
// name; "-" leaves it out.
func compile(t reflect.Type, faults *dovetail.Faults) *schema {
	s := &schema{index: make(map[string]int)}
	if t.Kind() != reflect.Struct {
		faults.Add("REC001", "Config", fmt.Sprintf("the record type is %s, not a struct", t), "use a struct whose fields are those of the record")
		return s
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || name == "-" {
			continue
		}
		if name == "" {
			name = f.Name
		}
		if _, twice := s.index[name]; twice {
			faults.Add("REC002", t.Name()+"."+f.Name, fmt.Sprintf("two fields are named %q", name), "give each field its own json name")
			continue
		}
		read, write := codecOf(f.Type)
		if read == nil {
			faults.Add("REC003", t.Name()+"."+f.Name, fmt.Sprintf("a field of type %s has no exact value", f.Type), fixFor(f.Type))
			continue
		}
		s.index[name] = len(s.names)
		s.names = append(s.names, name)
		s.path = append(s.path, i)
		s.read = append(s.read, read)
		s.write = append(s.write, write)
	}
	if len(s.names) == 0 {
		faults.Add("REC004", t.Name(), "the record type has no exported fields", "add the fields that the systems share")
	}
	return s
}

func fixFor(t reflect.Type) string {
	if k := t.Kind(); k == reflect.Float32 || k == reflect.Float64 {
		return "use dovetail.Value with dovetail.Decimal: money that passed through a float is no longer money"
	}
	return "use string, bool, an integer, time.Time, dovetail.Value, or datasync.Opt of one"
}

// codecOf returns how to read and write a field of type t, nil when it cannot be
// a field.
func codecOf(t reflect.Type) (func(reflect.Value) dovetail.Value, func(reflect.Value, dovetail.Value) error) {
	switch {
	case t == valueType:
		return func(v reflect.Value) dovetail.Value { return *v.Addr().Interface().(*dovetail.Value) },
			func(v reflect.Value, x dovetail.Value) error { v.Set(reflect.ValueOf(x)); return nil }
	case t == timeType:
		return readTime, writeTime
	case t.Implements(optionalType):
		return codecOfOpt(t)
	}
	switch t.Kind() {
	case reflect.String:
		return func(v reflect.Value) dovetail.Value { return dovetail.String(v.String()) }, writeString
	case reflect.Bool:
		return func(v reflect.Value) dovetail.Value { return dovetail.Bool(v.Bool()) }, writeBool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return func(v reflect.Value) dovetail.Value { return dovetail.Int(v.Int()) }, writeInt
	default:
		return nil, nil
	}
}
