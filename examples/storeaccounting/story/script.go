package story

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"github.com/tectari/dovetail/examples/storeaccounting/orders"
)

// The two systems, as actions name them.
const (
	Store      = "store"
	Accounting = "accounting"
)

// The course of the story, in story time. The order history is stretched
// evenly over the ordering hours: what took four years takes an hour.
const (
	LastOrder  = 60 * time.Minute
	OutageFrom = 25 * time.Minute
	OutageTo   = 45 * time.Minute
	LastEdit   = 61 * time.Minute
	End        = 64 * time.Minute
)

// Action is one thing that happens in one system. Exactly one of Place, Ship
// and Edit is set.
type Action struct {
	Seq    int64 // its place in the script, from 1; never used twice
	At     time.Duration
	System string

	Place *orders.Order // an order is placed; a new customer signs up with it
	Ship  string        // the order with this ID is shipped
	Edit  *Edit
}

// Edit is what a person does to one field of a customer.
type Edit struct {
	Person   string
	Customer string
	Field    string
	Value    string
}

// Script returns everything that happens, in order. It depends on its
// arguments only.
func Script(history []orders.Order, seed uint64) []Action {
	script := make([]Action, 0, len(history)+len(history)/4)
	placed := func(i int) time.Duration {
		return LastOrder * time.Duration(i) / time.Duration(max(len(history), 1))
	}
	for i := range history {
		script = append(script, Action{At: placed(i), System: Store, Place: &history[i]})
		if at := placed(i) + 3*time.Minute; i%31 == 0 && at < LastEdit {
			script = append(script, Action{At: at, System: Store, Ship: history[i].ID})
		}
	}
	script = append(script, newPeople(history, placed, seed).edits()...)

	slices.SortStableFunc(script, func(a, b Action) int { return cmp.Compare(a.At, b.At) })
	for i := range script {
		script[i].Seq = int64(i + 1)
	}
	return script
}

// Fingerprint tells scripts apart, so that a half-told story is not continued
// as another one.
func Fingerprint(script []Action) string {
	h := fnv.New64a()
	for _, a := range script {
		fmt.Fprintln(h, a.Seq, a.At, a.System, a.Ship)
		if a.Place != nil {
			fmt.Fprintln(h, a.Place.ID, a.Place.CustomerID, a.Place.Cents())
		}
		if a.Edit != nil {
			fmt.Fprintln(h, *a.Edit)
		}
	}
	return fmt.Sprintf("%d actions %016x", len(script), h.Sum64())
}
