package sync_test

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/alert"
	"github.com/tectari/dovetail/conflict"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/ownership"
	"github.com/tectari/dovetail/store/memstore"
	datasync "github.com/tectari/dovetail/sync"
)

// person is the record of the simulated world: one field owned by each side, one
// shared, and a group.
type person struct {
	Name   string `json:"name"`
	Street string `json:"street"`
	City   string `json:"city"`
	Tax    string `json:"tax"`
	Phone  string `json:"phone"`
}

// field returns a pointer to the named field.
func (p *person) field(name string) *string {
	switch name {
	case "name":
		return &p.Name
	case "street":
		return &p.Street
	case "city":
		return &p.City
	case "tax":
		return &p.Tax
	default:
		return &p.Phone
	}
}

// crash is the panic that ends an incarnation of the engine.
type crash struct{}

// faults decides what goes wrong. All chance of a history comes from rng.
type faults struct {
	rng    *rand.Rand
	on     bool
	crash  float64 // at each point
	before float64 // a request is lost on its way
	after  float64 // the reply is lost
	late   float64 // a request given up on arrives later
	lose   float64 // a person throws a message away
	edit   float64 // a person edits during a call
}

func (f *faults) hit(p float64) bool { return f.on && f.rng.Float64() < p }

// world is one history: systems, people, and the engine between them.
type world struct {
	*faults
	mutant  string
	remotes []*simRemote
	store   *simStore
	link    *datasync.Link
	queue   map[[2]string]time.Time // destination and key → not before
	hints   [][2]string
	known   map[string]bool // every value a person set, as each system may spell it
	serial  int
	broken  string
	deleted map[string]bool // IDs in the first system
	strays  [][2]string     // system and ID of records that a person was told of, which match none of ours
	told    bool
	trace   []string
}

func (w *world) fail(format string, args ...any) {
	if w.broken == "" {
		w.broken = fmt.Sprintf(format, args...)
	}
}

// logf adds to the trace of a history that is told: one that broke is run again
// for it, since telling costs as much as running.
func (w *world) logf(format string, args ...any) {
	if !w.told {
		return
	}
	w.trace = append(w.trace, fmt.Sprintf(format, args...))
}

// point is a place where the process may die.
func (w *world) point() {
	if w.hit(w.crash) {
		panic(crash{})
	}
}

// owners says who owns what; the engine is told the same through its rules.
var owners = map[string]dovetail.System{"name": "a", "street": "a", "city": "a", "tax": "b"}

// mayWrite fails the history when the engine writes a field at its owner.
func (w *world) mayWrite(r *simRemote, fields []string) {
	for _, f := range fields {
		if owners[f] == r.name {
			w.fail("I7: %q was written in %s, which owns it", f, r.name)
		}
	}
}

func (r *simRemote) live() []string {
	var ids []string
	for id, rec := range r.records {
		if !rec.deleted {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// newWorld draws the systems of one history.
func newWorld(seed uint64, mutant string, alerts *alert.Manager) (*world, error) {
	w := &world{faults: &faults{rng: rand.New(rand.NewPCG(seed, 1)), crash: 0.02, before: 0.08, after: 0.08, late: 0.03, lose: 0.02, edit: 0.08}}
	w.mutant = mutant
	w.queue, w.known, w.deleted = make(map[[2]string]time.Time), make(map[string]bool), make(map[string]bool)
	w.store = &simStore{Store: memstore.New(), w: w}
	names := []dovetail.System{"a", "b", "c"}[:2+w.rng.IntN(2)]
	var systems []datasync.System[person]
	for _, name := range names {
		r := &simRemote{w: w, name: name, class: "ABC"[w.rng.IntN(3)], lossy: name != "a" && w.rng.IntN(2) == 0, conditional: w.rng.IntN(2) == 0,
			storesKey: w.rng.IntN(2) == 0, lag: time.Duration(w.rng.IntN(30)) * time.Second, records: make(map[string]*simRecord), keys: make(map[string]string), paged: make(map[string]datasync.Observation[person])}
		w.remotes = append(w.remotes, r)
		systems = append(systems, datasync.System[person]{Name: name, Endpoint: r.endpoint(), Can: r.can()})
	}
	q, err := outbox.New(outbox.Config{Store: w.store, Alerts: alerts, Observer: quiet{}})
	if err != nil {
		return nil, err
	}
	w.link, err = datasync.New(datasync.Config[person]{
		Name: "people", Systems: systems,
		Fields: ownership.Rules{
			"name": ownership.By("a"), "tax": ownership.By("b"),
			"street": ownership.By("a").InGroup("address"), "city": ownership.By("a").InGroup("address"),
			"phone": ownership.Shared(names...),
		},
		Resolvers: conflict.Fields{"phone": resolverOf(w.rng)},
		Exists:    existence(w.rng, w.remotes[1].class), Store: w.store, Queue: q, Alerts: alerts, Observer: teller{w: w},
	})
	if err != nil {
		return nil, err
	}
	n := 0
	w.link.SetKeys(func() string { n++; return fmt.Sprintf("k%03d", n) })
	return w, nil
}

// existence: the first system decides alone who exists, or together with the
// second.
//
// Not where it upserts: an upsert that arrives after the record was deleted makes
// it anew, and a system that may create cannot be told from a person then.
func existence(rng *rand.Rand, class byte) ownership.Rule {
	if rng.IntN(2) == 0 && class != 'A' {
		return ownership.Shared("a", "b")
	}
	return ownership.By("a")
}

func resolverOf(rng *rand.Rand) conflict.Resolver {
	if rng.IntN(2) == 0 {
		return conflict.Prefer("b", "a", "c")
	}
	return conflict.Max(conflict.Prefer("a", "b", "c"))
}

// quiet hears everything and says nothing.
type quiet struct{}

func (quiet) Start(ctx context.Context, _ dovetail.Event) context.Context { return ctx }
func (quiet) Record(context.Context, dovetail.Event)                      {}

// teller puts the engine's decisions into the trace.
type teller struct {
	quiet
	w *world
}

func (t teller) Record(_ context.Context, e dovetail.Event) {
	if e.Name == "sync.parked" && strings.HasSuffix(e.Why, "matches none of ours") {
		t.w.strays = append(t.w.strays, [2]string{string(e.System), e.Key})
	}
	if t.w.told && strings.HasPrefix(e.Name, "sync.") {
		t.w.logf("    %s %s %s %s %s: %s %s", e.Name, e.Key, e.System, e.Field, e.Outcome, e.Why, fmt.Sprint(e.Err))
	}
}

// alive runs one action of the engine, which may die in it.
func (w *world) alive(do func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(crash); !ok {
				panic(r)
			}
			w.logf("the process dies")
			err = nil
		}
	}()
	return do()
}

// work delivers one message, in any order.
func (w *world) work(ctx context.Context) bool {
	now := time.Now()
	ready := w.waiting(func(m [2]string) bool { return !now.Before(w.queue[m]) })
	if len(ready) == 0 {
		return false
	}
	m := ready[w.rng.IntN(len(ready))]
	// The message is acknowledged only when it was handled; a newer one for the
	// same key that arrives meanwhile stays.
	w.queue[m] = time.Now().Add(5 * time.Second) // a crash gives it back later
	stamp := w.queue[m]
	died := true
	err := w.alive(func() error {
		err := w.link.Handle(ctx, m[0], m[1])
		died = false
		return err
	})
	w.logf("%s %s: %v", m[0], m[1], err)
	switch {
	case died:
		if w.queue[m].Equal(stamp) {
			w.queue[m] = time.Time{}
		}
	case err == nil:
		if w.queue[m].Equal(stamp) {
			delete(w.queue, m)
		}
	case dovetail.Classify(err) == dovetail.Invalid, dovetail.Classify(err) == dovetail.Permanent:
		w.fail("a message became a dead letter: %v", err)
		delete(w.queue, m)
	}
	return true
}

// step is one random thing that happens.
func (w *world) step(ctx context.Context) {
	switch w.rng.IntN(10) {
	case 0, 1, 2:
		w.edits()
	case 3:
		r := w.remotes[w.rng.IntN(len(w.remotes))]
		_ = w.alive(func() error { return w.link.Poll(ctx, r.name) })
	case 4, 5:
		w.hint(ctx)
	case 6:
		time.Sleep(time.Duration(w.rng.IntN(40)) * time.Second)
	default:
		w.work(ctx)
	}
	if w.hit(w.lose) {
		w.throwAway()
	}
}

// waiting lists the messages that fit, in order.
func (w *world) waiting(fits func([2]string) bool) (list [][2]string) {
	for m := range w.queue {
		if fits(m) {
			list = append(list, m)
		}
	}
	slices.SortFunc(list, func(a, b [2]string) int { return cmp.Or(strings.Compare(a[0], b[0]), strings.Compare(a[1], b[1])) })
	return list
}

// hint delivers a webhook: twice, late, out of order, or never.
func (w *world) hint(ctx context.Context) {
	if len(w.hints) == 0 {
		return
	}
	i := w.rng.IntN(len(w.hints))
	h := w.hints[i]
	switch w.rng.IntN(3) {
	case 0: // lost
		w.hints = append(w.hints[:i], w.hints[i+1:]...)
		return
	case 1: // comes again later
	default:
		w.hints = append(w.hints[:i], w.hints[i+1:]...)
	}
	_ = w.alive(func() error { return w.link.Hint(ctx, dovetail.System(h[0]), h[1], "") })
}

// heal ends all faults and edits and lets the engine come to rest.
func (w *world) heal(ctx context.Context) {
	w.on = false
	w.hints = nil
	for round := range 12 {
		for _, r := range w.remotes {
			r.arrive()
			if err := w.link.Poll(ctx, r.name); err != nil {
				w.fail("a poll in calm weather failed: %v", err)
			}
		}
		if w.mutant != "no sweep" {
			if _, err := w.link.Sweep(ctx); err != nil {
				w.fail("a sweep in calm weather failed: %v", err)
			}
		}
		for n := 0; len(w.queue) > 0; n++ {
			if n == 200 {
				w.fail("liveness: it does not come to rest: %v", w.queue)
				return
			}
			if !w.work(ctx) {
				time.Sleep(10 * time.Second)
			}
		}
		w.decide(ctx)
		time.Sleep(3 * time.Minute)
		if round > 3 && len(w.queue) == 0 {
			break
		}
	}
	if len(w.queue) > 0 {
		w.fail("liveness: %d messages are still not delivered: %v", len(w.queue), w.queue)
	}
}

// verify checks what must hold when things have gone quiet.
func (w *world) verify(ctx context.Context) {
	a := w.remotes[0]
	for _, r := range w.remotes[1:] {
		byKey := make(map[string]int)
		for _, id := range r.live() {
			byKey[r.records[id].key]++
		}
		for key, n := range byKey {
			if n > 1 {
				w.fail("P2: %d records in %s for %s", n, r.name, key)
			}
		}
	}
	for _, id := range a.live() {
		key, ok, err := w.link.Key(ctx, "a", id)
		if err != nil || !ok {
			w.fail("P1: %s is not linked (%v)", id, err)
			continue
		}
		w.verifyRecord(a.records[id], key)
	}
	live := len(a.live())
	for _, r := range w.remotes[1:] {
		if n := len(r.live()); n != live {
			w.fail("P1/P2: %d records in a, %d in %s", live, n, r.name)
		}
	}
	before := w.writes()
	for _, r := range w.remotes {
		if err := w.link.Poll(ctx, r.name); err != nil {
			w.fail("idle poll: %v", err)
		}
		for _, id := range r.live() {
			if err := w.link.Hint(ctx, r.name, id, ""); err != nil {
				w.fail("idle hint: %v", err)
			}
		}
	}
	if _, err := w.link.Sweep(ctx); err != nil {
		w.fail("idle sweep: %v", err)
	}
	for range 200 {
		if !w.work(ctx) {
			break
		}
	}
	if n := w.writes() - before; n != 0 {
		w.fail("P5: an idle run wrote %d times", n)
	}
}

func (w *world) writes() (n int) {
	for _, r := range w.remotes {
		n += r.writes
	}
	return n
}

// verifyRecord checks one record of the first system against all others.
func (w *world) verifyRecord(rec *simRecord, key string) {
	for _, r := range w.remotes[1:] {
		var there *simRecord
		for _, x := range r.records {
			if x.key == key && !x.deleted {
				there = x
			}
		}
		if there == nil {
			w.fail("P1: %s (%s) is missing in %s", rec.id, key, r.name)
			return
		}
		for _, f := range []string{"name", "street", "city"} {
			if want := r.norm(*rec.field(f)); *there.field(f) != want {
				w.fail("P3: %s of %s is %q in %s, the owner says %q", f, rec.id, *there.field(f), r.name, want)
			}
		}
		if r.norm(rec.Phone) != r.norm(there.Phone) {
			w.fail("P4: phone of %s is %q in a and %q in %s", rec.id, rec.Phone, there.Phone, r.name)
		}
		if r.name == "b" {
			w.verifyTax(there, rec, key)
		}
	}
	if rec.Phone != "" && !w.known[rec.Phone] {
		w.fail("I8: nobody ever set phone %q of %s", rec.Phone, rec.id)
	}
}

// verifyTax: the second system owns it; everybody else shows its value.
func (w *world) verifyTax(owner, rec *simRecord, key string) {
	if owner.Tax != rec.Tax {
		w.fail("P3: tax of %s is %q in a, its owner says %q", rec.id, rec.Tax, owner.Tax)
	}
	for _, r := range w.remotes[2:] {
		for _, x := range r.records {
			if x.key == key && !x.deleted && x.Tax != r.norm(owner.Tax) {
				w.fail("P3: tax of %s is %q in %s, its owner says %q", rec.id, x.Tax, r.name, owner.Tax)
			}
		}
	}
}
