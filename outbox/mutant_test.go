package outbox_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/memstore"
)

// mutants are safety rules taken away, each with how many histories it may live.
// They are built from the seams of the relay (its store, its handler), so nothing
// of them is in the code that ships.
var mutants = []struct {
	name string
	most int
}{
	{"acknowledge the whole page", 20},
	{"acknowledge before delivery", 50},
	{"read late what was committed early", 50},
	{"burn attempts in an outage", 20},
	{"forget what waits behind a head", 50},
	{"forget what a dead relay left behind", 100},
	{"serve shards that others own", 50},
	{"park without ownership", 2000},
}

// TestRelayRulesMatter takes one safety rule away at a time: the histories must
// then find a broken promise. A rule without which nothing breaks is not tested.
func TestRelayRulesMatter(t *testing.T) {
	t.Parallel()
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(m.most) {
				if broken := history(t, seed, m.name); broken != "" {
					t.Logf("dies in history %d: %s", seed, broken)
					return
				}
			}
			require.Fail(t, "it lives", "nothing broke in %d histories", m.most)
		})
	}
}

// TestHistoriesKeepEveryPromise runs the same histories with every rule in place.
func TestHistoriesKeepEveryPromise(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		require.Empty(t, history(t, seed, ""), "history %d", seed)
	}
}

// A rig is one relay's way to the store, with a rule taken away.
type rig struct {
	*memstore.Store
	world *world
	fault string

	mu   sync.Mutex
	cut  bool // no answers come back, and what was sent takes effect late
	sent []outbox.Settlement
	late map[int64]outbox.Entry
}

func (g *rig) down() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.cut
}

func (g *rig) set(cut bool) {
	g.mu.Lock()
	sent := g.sent
	g.cut, g.sent = cut, nil
	g.mu.Unlock()
	for _, s := range sent {
		_, _ = g.SettleMessages(context.Background(), s) // nobody waits for it any more
	}
}

// back ends the cut.
func (g *rig) back() { g.set(false) }

func (g *rig) LeaseShards(ctx context.Context, req outbox.LeaseRequest) (outbox.Lease, error) {
	if g.down() {
		return outbox.Lease{}, errDead
	}
	behind := map[int64]bool{}
	if g.fault == "forget what a dead relay left behind" {
		behind = g.world.orphans(ctx)
	}
	l, err := g.Store.LeaseShards(ctx, req)
	if err != nil {
		return l, err
	}
	g.world.lease(req, l)
	for seq := range behind { // as if nobody had looked for them
		_, _ = g.Store.SettleMessages(ctx, outbox.Settlement{Relay: req.Relay, Park: []outbox.Parking{{Seq: seq, Destination: "a", Shard: g.world.shard(seq), State: outbox.Behind}}})
	}
	if g.fault == "serve shards that others own" && req.TTL > 0 {
		l.Owned, l.Fresh = map[string]uint64{"a": ^uint64(0)}, map[string]uint64{"a": ^uint64(0) &^ l.Owned["a"]}
		l.Excess = nil
	}
	return l, nil
}

func (g *rig) ReadMessages(ctx context.Context, q outbox.ReadQuery) (outbox.Page, error) {
	p, err := g.Store.ReadMessages(ctx, q)
	if err != nil {
		return p, err
	}
	for _, e := range p.Entries {
		g.world.saw(e)
	}
	switch g.fault {
	case "acknowledge before delivery":
		var seqs []int64
		for _, e := range p.Entries {
			seqs = append(seqs, e.Seq)
		}
		_, err = g.Store.SettleMessages(ctx, outbox.Settlement{Done: seqs})
	case "read late what was committed early":
		p.Entries = g.delay(p.Entries)
	}
	return p, err
}

// delay gives the first of the entries with the next read.
func (g *rig) delay(entries []outbox.Entry) []outbox.Entry {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := slices.Clone(entries)
	if len(out) > 1 {
		first := out[0]
		out = out[1:]
		for _, e := range g.late {
			out = append(out, e)
		}
		g.late = map[int64]outbox.Entry{first.Seq: first}
		return out
	}
	for _, e := range g.late {
		out = append(out, e)
	}
	g.late = nil
	return out
}

func (g *rig) LaneMessages(ctx context.Context, to, lane string, limit int) ([]outbox.Entry, error) {
	if g.fault == "forget what waits behind a head" {
		return nil, nil
	}
	return g.Store.LaneMessages(ctx, to, lane, limit)
}

func (g *rig) SettleMessages(ctx context.Context, s outbox.Settlement) (outbox.Settled, error) {
	if g.down() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.sent = append(g.sent, outbox.Settlement{Relay: s.Relay, Park: slices.Clone(s.Park)})
		return outbox.Settled{}, errDead
	}
	switch {
	case g.fault == "acknowledge the whole page" && len(s.Done) > 0:
		s.Done = g.world.everything()
	case g.fault == "park without ownership":
		var out outbox.Settled
		for _, p := range s.Park {
			if _, err := g.Store.SettleMessages(ctx, outbox.Settlement{Relay: g.world.owner(p.Shard), Park: []outbox.Parking{p}}); err != nil {
				return out, err
			}
		}
		s.Park = nil
	}
	return g.Store.SettleMessages(ctx, s)
}

// A world is what several relays work on, and what came of it.
type world struct {
	store *memstore.Store
	fault string

	mu     sync.Mutex
	dice   *rand.Rand
	owners [outbox.Shards]string
	seqs   map[int64]int // the shard of each message that was read
	lanes  map[int64]string
	sent   map[string][]string
	got    map[string][]string
	failed map[string]int // by its own fault
	out    bool
	calm   bool
	active map[string]bool
	broken string
}

func (w *world) roll(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dice.IntN(n)
}

func (w *world) lease(req outbox.LeaseRequest, l outbox.Lease) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for shard := range w.owners {
		if l.Owned["a"]>>shard&1 == 1 {
			w.owners[shard] = req.Relay
		}
	}
}

func (w *world) owner(shard int) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.owners[shard]
}

func (w *world) saw(e outbox.Entry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seqs[e.Seq], w.lanes[e.Seq] = e.Shard, e.Lane
}

func (w *world) shard(seq int64) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seqs[seq]
}

func (w *world) everything() []int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []int64
	for seq := range w.seqs {
		out = append(out, seq)
	}
	return out
}

// orphans returns what waits behind heads that are gone.
func (w *world) orphans(ctx context.Context) map[int64]bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[int64]bool{}
	for key := range w.sent {
		list, err := w.store.LaneMessages(ctx, "a", key, 1000)
		if err != nil {
			return nil
		}
		for _, e := range list {
			out[e.Seq] = true
		}
	}
	return out
}

func (w *world) Handle(ctx context.Context, d outbox.Delivery) error {
	w.mu.Lock()
	if w.active[d.Key] {
		w.broken = "two of key " + d.Key + " in flight"
	}
	w.active[d.Key] = true
	slow := time.Duration(1+w.dice.IntN(400)) * time.Millisecond
	w.mu.Unlock()
	select {
	case <-time.After(slow):
	case <-ctx.Done():
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.active, d.Key)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case w.out && w.fault == "burn attempts in an outage":
		return dovetail.NewError(dovetail.Transient, "write", "down")
	case w.out:
		return dovetail.NewError(dovetail.Unavailable, "write", "down")
	case !w.calm && w.dice.IntN(4) == 0:
		w.failed[d.ID]++
		return dovetail.NewError(dovetail.Transient, "write", "no")
	}
	if !slices.Contains(w.got[d.Key], d.ID) { // after a crash it may come again
		w.got[d.Key] = append(w.got[d.Key], d.ID)
	}
	if d.Attempt > 1+w.failed[d.ID] {
		w.broken = fmt.Sprintf("attempt %d of %s, which failed %d times", d.Attempt, d.ID, w.failed[d.ID])
	}
	return nil
}

// history runs two relays through failures, an outage, a crash and a cut off
// relay, and returns which promise was broken.
func history(t *testing.T, seed uint64, fault string) (broken string) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{
			store: memstore.New(), fault: fault, dice: rand.New(rand.NewPCG(seed, 7)), seqs: map[int64]int{}, lanes: map[int64]string{},
			sent: map[string][]string{}, got: map[string][]string{}, failed: map[string]int{}, active: map[string]bool{},
		}
		buffer := 2 + w.roll(6)
		var relays []*rig
		var stops []func()
		begin := func() {
			g := &rig{Store: w.store, world: w, fault: fault}
			d := outbox.Destination{
				Name: "a", Handler: w, Buffer: buffer, Concurrency: 3, Attempts: 1000, ProbeEvery: 200 * time.Millisecond,
				Backoff: outbox.Backoff{Base: 100 * time.Millisecond, Cap: time.Second},
			}
			if seed%3 == 2 {
				d.Handler, d.Batch, d.BatchSize, d.AllowSameKey = nil, &bulkOf{w}, 3, seed%6 == 2
			}
			q, err := outbox.New(outbox.Config{Store: g, Alerts: manager(t), Observer: &told{}, Lease: 2 * time.Second, Destinations: []outbox.Destination{d}})
			require.NoError(t, err)
			relays, stops = append(relays, g), append(stops, runQueue(t, q))
		}
		begin()
		begin()
		producer := queueOn(t, w.store, &told{}, outbox.Destination{Name: "a"})
		for i := range 80 {
			key := fmt.Sprint("k", w.roll(4))
			id := fmt.Sprintf("%s-%02d", key, i)
			w.mu.Lock()
			w.sent[key] = append(w.sent[key], id)
			w.mu.Unlock()
			send(t, producer, msg("a", key, id))
			time.Sleep(time.Duration(w.roll(150)) * time.Millisecond)
			switch i {
			case 15 + w.roll(5):
				w.mood(true, false)
			case 30:
				w.mood(false, false)
			case 32 + w.roll(6):
				first := relays[0]
				first.set(true) // cut off past its lease, and back, with work to do
				time.AfterFunc(time.Duration(1500+w.roll(2500))*time.Millisecond, first.back)
			case 70: // it dies with what it has in memory
				if seed%2 == 0 { // else nobody takes over any more, and mends
					relays[1].set(true)
					go stops[1]()
					begin()
				}
			}
		}
		w.mood(false, true)
		relays[0].set(false)
		time.Sleep(2 * time.Minute)
		broken = w.verdict(t, producer)
		relays[1].set(false)
		if stops[0](); seed%2 == 0 {
			stops[2]()
		} else {
			stops[1]()
		}
		time.Sleep(time.Minute)
	})
	return broken
}

func (w *world) mood(out, calm bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.out, w.calm = out, calm
}

// verdict says which promise was broken.
func (w *world) verdict(t *testing.T, q *outbox.Queue) string {
	lags, err := q.Lag(t.Context())
	require.NoError(t, err)
	letters, err := q.DeadLetters(t.Context(), outbox.Filter{})
	require.NoError(t, err)
	w.mu.Lock()
	defer w.mu.Unlock()
	switch l := lags[0]; {
	case w.broken != "":
		return w.broken
	case len(letters) > 0:
		return "a message that can be delivered is a dead letter: " + letters[0].ID
	case l.Waiting+l.Parked > 0:
		return fmt.Sprintf("left behind: %d waiting, %d parked", l.Waiting, l.Parked)
	}
	for key, sent := range w.sent {
		if got := w.got[key]; !slices.Equal(sent, got) {
			return fmt.Sprintf("sent of %s: %v, delivered first: %v", key, sent, got)
		}
	}
	return ""
}
