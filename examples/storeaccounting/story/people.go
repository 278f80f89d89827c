package story

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/tectari/dovetail/examples/storeaccounting/orders"
)

// What people do, as shares of the number of customers in percent.
const (
	storeShare      = 18 // store staff edit what the store owns
	accountingShare = 15 // accounting staff edit what accounting owns
	phoneShare      = 5  // each side edits a phone alone
	bothShare       = 4  // both sides edit one phone within a minute
	bothDownShare   = 3  // the same, while accounting's API is down
	trespassShare   = 4  // each side edits a field of the other's
)

// The fields, by whose they are.
var (
	storeFields      = []string{"name", "email", "address"}
	accountingFields = []string{"tax_number", "payment_terms", "balance"}
	storeStaff       = []string{"Mary (store)", "Tom (store)"}
	accountingStaff  = []string{"Ines (accounting)", "Jonas (accounting)"}
)

// people invents the edits of a story.
type people struct {
	random    *rand.Rand
	customers []orders.Customer
	since     map[string]time.Duration // when a customer signs up
}

func newPeople(history []orders.Order, placed func(int) time.Duration, seed uint64) *people {
	p := &people{random: rand.New(rand.NewPCG(seed, 0x0bade17)), since: make(map[string]time.Duration)}
	for i, o := range history {
		if _, known := p.since[o.CustomerID]; !known {
			p.since[o.CustomerID] = placed(i)
			p.customers = append(p.customers, o.Customer())
		}
	}
	return p
}

func (p *people) edits() []Action {
	var actions []Action
	add := func(system string, staff []string, at time.Duration, c orders.Customer, field string) {
		edit := &Edit{Person: p.pick(staff), Customer: c.ID, Field: field, Value: p.value(field, c)}
		actions = append(actions, Action{At: at, System: system, Edit: edit})
	}
	p.times(storeShare, 2*time.Minute, LastEdit, func(at time.Duration, c orders.Customer) {
		add(Store, storeStaff, at, c, p.pick(storeFields))
	})
	p.times(accountingShare, 2*time.Minute, LastEdit, func(at time.Duration, c orders.Customer) {
		add(Accounting, accountingStaff, at, c, p.pick(accountingFields))
	})
	p.times(phoneShare, 2*time.Minute, LastEdit, func(at time.Duration, c orders.Customer) {
		add(Store, storeStaff, at, c, "phone")
	})
	p.times(phoneShare, 2*time.Minute, LastEdit, func(at time.Duration, c orders.Customer) {
		add(Accounting, accountingStaff, at, c, "phone")
	})
	both := func(at time.Duration, c orders.Customer) {
		add(Store, storeStaff, at, c, "phone")
		add(Accounting, accountingStaff, at+time.Duration(p.random.IntN(50))*time.Second, c, "phone")
	}
	p.times(bothShare, 2*time.Minute, LastEdit-time.Minute, both)
	p.times(bothDownShare, OutageFrom+time.Minute, OutageTo-2*time.Minute, both)
	p.times(trespassShare, 2*time.Minute, LastEdit, func(at time.Duration, c orders.Customer) {
		add(Store, storeStaff, at, c, p.pick(accountingFields))
	})
	p.times(trespassShare, 2*time.Minute, LastEdit, func(at time.Duration, c orders.Customer) {
		add(Accounting, accountingStaff, at, c, p.pick(storeFields))
	})
	return actions
}

// times calls fn for a share of the customers, each with a moment between from
// and to at which the customer has been known for at least a minute.
func (p *people) times(share int, from, to time.Duration, fn func(time.Duration, orders.Customer)) {
	known := slices.DeleteFunc(slices.Clone(p.customers), func(c orders.Customer) bool {
		return p.since[c.ID] >= to-2*time.Minute
	})
	if len(known) == 0 {
		return
	}
	for range (len(p.customers)*share + 99) / 100 {
		c := known[p.random.IntN(len(known))]
		earliest := max(from, p.since[c.ID]+time.Minute)
		at := earliest + time.Duration(p.random.Int64N(int64(to-earliest)))
		fn(at.Truncate(time.Second), c)
	}
}

// value invents what a person types into field, sloppy spacing included.
func (p *people) value(field string, c orders.Customer) string {
	n := p.random.IntN(9000) + 1000
	first, rest, _ := strings.Cut(c.Name, " ")
	switch field {
	case "name":
		return p.pick([]string{
			fmt.Sprintf("%s %c. %s", first, 'A'+rune(n%26), rest),
			fmt.Sprintf("%s  %s-%s ", first, rest, p.pick([]string{"Miller", "Ortega", "Lindqvist", "Okafor"})),
			fmt.Sprintf("%s %s (%d)", first, rest, n),
		})
	case "email":
		return fmt.Sprintf("%s.%d@example.com", p.pick([]string{"office", "Home", "mail"}), n*100_000+p.random.IntN(100_000))
	case "address":
		return fmt.Sprintf("%d %s Street, %s", n, p.pick([]string{"Oak", "Elm  Tree", "High", "Station"}), c.Address)
	case "phone":
		return fmt.Sprintf("+1 %d%s555-01%02d", 201+n%789, p.pick([]string{" ", "  "}), p.random.IntN(100))
	case "tax_number":
		return fmt.Sprintf("us %d-%d", n, p.random.IntN(90_000)+10_000)
	case "payment_terms":
		return p.pick([]string{"NET15", "NET45", "net60", "PREPAID"})
	default: // balance
		return fmt.Sprintf("%d.%d", n, p.random.IntN(1000))
	}
}

func (p *people) pick(from []string) string { return from[p.random.IntN(len(from))] }
