// Package merge holds the rivals of our merge: what is measured is a record of 12
// fields that shows nothing new. merge.sh runs them beside ours.
package merge

import (
	"fmt"
	"strings"
	"testing"

	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/merge"
	"sigs.k8s.io/structured-merge-diff/v6/typed"
)

var names = []string{"name", "email", "street", "city", "zip", "country", "phone", "vat", "terms", "balance", "note", "tag"}

// record makes the record with strings of its own: none is shared with another
// record, so that a comparison must look at the bytes.
func record() map[string]string {
	r := make(map[string]string, len(names))
	for f, name := range names {
		r[strings.Clone(name)] = strings.Clone(fmt.Sprintf("the value of field %02d, some 36 bytes", f))
	}
	return r
}

// mergeMaps is the merge that everyone writes first: what differs from the last
// showing and from the canonical value moves it, where the system owns the field.
func mergeMaps(canonical, shadow, shown map[string]string, owner map[string]string, system string) (moved int) {
	for name, v := range shown {
		if v == shadow[name] {
			continue
		}
		shadow[name] = v
		if o := owner[name]; (o == system || o == "") && canonical[name] != v {
			canonical[name] = v
			moved++
		}
	}
	return moved
}

func BenchmarkMergeMaps12(b *testing.B) {
	canonical, shadow, shown := record(), record(), record()
	owner := map[string]string{"phone": "", "note": ""}
	for i, name := range names {
		if _, shared := owner[name]; !shared {
			owner[name] = []string{"crm", "erp"}[i/6]
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if mergeMaps(canonical, shadow, shown, owner, "erp") != 0 {
			b.Fatal("something moved")
		}
	}
}

// converter says that there is one version, so nothing is converted.
type converter struct{}

func (converter) Convert(o *typed.TypedValue, _ fieldpath.APIVersion) (*typed.TypedValue, error) {
	return o, nil
}
func (converter) IsMissingVersionError(error) bool { return false }

func schema() typed.YAMLObject {
	var y strings.Builder
	y.WriteString("types:\n- name: customer\n  map:\n    fields:\n")
	for _, name := range names {
		fmt.Fprintf(&y, "    - name: %s\n      type:\n        scalar: string\n", name)
	}
	return typed.YAMLObject(y.String())
}

// benchmarkApply applies, once more, what a manager applied before.
func benchmarkApply(b *testing.B, kind typed.ParseableType) {
	b.Helper()
	object := func() *typed.TypedValue {
		all := make(map[string]any, len(names))
		for name, v := range record() {
			all[name] = v
		}
		o, err := kind.FromUnstructured(all)
		if err != nil {
			b.Fatal(err)
		}
		return o
	}
	updater := (&merge.UpdaterBuilder{Converter: converter{}}).BuildUpdater()
	live, managers, err := updater.Apply(object(), object(), "v1", fieldpath.ManagedFields{}, "erp", false)
	if err != nil {
		b.Fatal(err)
	}
	if live == nil { // nil: the object did not change
		live = object()
	}
	config := object()
	b.ReportAllocs()
	for b.Loop() {
		o, _, err := updater.Apply(live, config, "v1", managers, "erp", false)
		if err != nil || o != nil {
			b.Fatal("something moved", err)
		}
	}
}

func BenchmarkMergeStructuredSchema12(b *testing.B) {
	parser, err := typed.NewParser(schema())
	if err != nil {
		b.Fatal(err)
	}
	benchmarkApply(b, parser.Type("customer"))
}

func BenchmarkMergeStructuredDeduced12(b *testing.B) {
	benchmarkApply(b, typed.DeducedParseableType)
}
