package conflict_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/conflict"
)

// show prints a decision with its value, which no reason and no log holds.
func show(d conflict.Decision) {
	fmt.Printf("%s %q by %s: %s\n", d.Verdict, d.Value.Text(), d.By, d.Why)
}

// phone is a conflict about a phone number: base, CRM, shop.
func phone(base, crm, shop string) conflict.Conflict {
	monday := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	return conflict.Conflict{
		Link: "customers", Key: "42", Field: "phone", Base: dovetail.String(base),
		Left:  conflict.Side{System: "crm", Value: dovetail.String(crm), At: monday},
		Right: conflict.Side{System: "shop", Value: dovetail.String(shop), At: monday.Add(time.Minute)},
	}
}

func Example() {
	rule := conflict.NonEmpty(conflict.Latest(2*time.Minute, conflict.Park()))
	show(conflict.Decide(context.Background(), rule, phone("", "", "030 1")))
	show(conflict.Decide(context.Background(), rule, phone("030 0", "030 1", "030 2")))
	// Output:
	// taken "030 1" by non-empty: the other side is empty
	// parked "" by park: both sides have a value; the two changes are within the clock skew; a person decides
}

func ExampleLatest() {
	show(conflict.Decide(context.Background(), conflict.Latest(30*time.Second, conflict.Park()), phone("", "030 1", "030 2")))
	// A skew that nobody can promise is refused before anything runs.
	fmt.Println(conflict.CheckOf(conflict.Latest(0, nil)))
	// Output:
	// taken "030 2" by latest: shop has the latest change
	// latest: a skew of 0s cannot be promised between two clocks; write how far they may be apart: 2*time.Minute
	// latest: no resolver is given
}

func ExamplePrefer() {
	show(conflict.Decide(context.Background(), conflict.Prefer("crm", "shop"), phone("", "030 1", "030 2")))
	// Output: taken "030 1" by prefer: crm is preferred to shop
}

func ExampleCounter() {
	stock := conflict.Conflict{Field: "stock", Base: dovetail.Int(10)}
	stock.Left = conflict.Side{System: "shop", Value: dovetail.Int(7)}        // three sold
	stock.Right = conflict.Side{System: "warehouse", Value: dovetail.Int(12)} // two came in
	show(conflict.Decide(context.Background(), conflict.Counter(), stock))
	// Output: new "9" by counter: the changes of both sides are added
}

func ExampleSetMerge() {
	set := func(members ...string) dovetail.Value {
		v, _ := conflict.StringSet(members...) // false only for what is not UTF-8
		return v
	}
	tags := conflict.Conflict{Field: "tags", Base: set("late", "vip")}
	tags.Left = conflict.Side{System: "crm", Value: set("vip")}                   // removed late
	tags.Right = conflict.Side{System: "shop", Value: set("late", "vip", "gold")} // added gold
	show(conflict.Decide(context.Background(), conflict.SetMerge(), tags))
	// Output: new "[\"gold\",\"vip\"]" by set-merge: what each side added and removed is kept
}

func ExampleStateMachine() {
	status := conflict.StateMachine(map[string][]string{
		"open": {"paid", "cancelled"},
		"paid": {"shipped"},
	}, conflict.Park())
	show(conflict.Decide(context.Background(), status, phone("open", "paid", "shipped")))
	show(conflict.Decide(context.Background(), status, phone("open", "cancelled", "shipped")))
	// Output:
	// taken "shipped" by state-machine: shop is further along
	// parked "" by park: neither state may follow the other; a person decides
}

func ExampleText3() {
	show(conflict.Decide(context.Background(), conflict.Text3(), phone("call\nmail\nvisit\n", "call Ada\nmail\nvisit\n", "call\nmail\nvisit twice\n")))
	// Output: new "call Ada\nmail\nvisit twice\n" by text3: both sides changed different lines
}

func ExampleByField() {
	rules := conflict.ByField(map[string]conflict.Resolver{
		"phone": conflict.First(conflict.Text3(), conflict.Prefer("shop")),
	}, conflict.Park())
	show(conflict.Decide(context.Background(), rules, phone("030 0", "030 1", "030 2")))
	// Output: taken "030 2" by prefer: shop is preferred to crm
}

func ExampleDecide() {
	forgetful := conflict.Func(func(context.Context, conflict.Conflict) (conflict.Decision, error) {
		return conflict.Decision{}, nil
	})
	show(conflict.Decide(context.Background(), forgetful, phone("", "030 1", "030 2")))
	failing := conflict.Func(func(_ context.Context, c conflict.Conflict) (conflict.Decision, error) {
		return conflict.Take(c.Left, "guessed"), errors.New("no entry for 030 1 in the table")
	})
	show(conflict.Decide(context.Background(), failing, phone("", "030 1", "030 2")))
	// Output:
	// parked "" by func: conflict: resolver decided nothing
	// parked "" by func: no entry for [value] in the table
}
