package outbox_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/memstore"
)

// A shelf is a store that costs next to nothing: what is measured on it is the
// relay.
type shelf struct {
	*memstore.Store
	mu      sync.Mutex
	entries []outbox.Entry // from first on
	first   int64
	left    int
	empty   chan struct{}
}

func newShelf(d outbox.Destination, keys, n int) *shelf {
	s := &shelf{Store: memstore.New(), entries: make([]outbox.Entry, n), first: 1, left: n, empty: make(chan struct{})}
	payload := make([]byte, 200)
	for i := range s.entries {
		m := outbox.Message{ID: fmt.Sprintf("%036d", i), To: d.Name, Payload: payload}
		if keys > 0 {
			m.Key = fmt.Sprintf("key-%06d", i%keys)
		}
		s.entries[i] = outbox.Entry{Message: m, Seq: int64(i + 1), Lane: m.Key, Shard: i % outbox.Shards, Enqueued: time.Unix(1, 0)}
		if keys > 0 {
			s.entries[i].Shard = i % keys % outbox.Shards
		}
	}
	return s
}

func (s *shelf) ReadMessages(_ context.Context, q outbox.ReadQuery) (outbox.Page, error) {
	first := min(int(q.Position.After), len(s.entries))
	last := min(first+q.Limit, len(s.entries))
	return outbox.Page{
		Entries: s.entries[first:last], More: last < len(s.entries), Position: outbox.Position{After: int64(last)},
	}, nil
}

func (s *shelf) SettleMessages(_ context.Context, st outbox.Settlement) (outbox.Settled, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left -= len(st.Done); s.left == 0 {
		close(s.empty)
	}
	return outbox.Settled{}, nil
}

// BenchmarkRelay delivers 20,000 messages to a handler that does nothing, from a
// store that costs nothing: the cost of the relay for each message.
func BenchmarkRelay(b *testing.B) {
	handle := outbox.HandlerFunc(func(context.Context, outbox.Delivery) error { return nil })
	batch := outbox.BatchHandlerFunc(func(_ context.Context, batch []outbox.Delivery) []error { return outbox.All(batch, nil) })
	for _, c := range []struct {
		name string
		keys int
		d    outbox.Destination
	}{
		{"single/unordered", 0, outbox.Destination{Name: "a", Handler: handle, Order: outbox.Unordered}},
		{"single/10000keys", 10_000, outbox.Destination{Name: "a", Handler: handle}},
		{"single/1key", 1, outbox.Destination{Name: "a", Handler: handle}},
		{"batch/unordered", 0, outbox.Destination{Name: "a", Batch: batch, Order: outbox.Unordered}},
		{"batch/10000keys", 10_000, outbox.Destination{Name: "a", Batch: batch}},
		{"batch/1key", 1, outbox.Destination{Name: "a", Batch: batch}},
		{"batch/1key/AllowSameKey", 1, outbox.Destination{Name: "a", Batch: batch, AllowSameKey: true}},
	} {
		b.Run(c.name, func(b *testing.B) {
			const n = 20_000
			best := time.Hour // of all rounds: the machine has other work
			var before, after runtime.MemStats
			var allocs, bytes uint64
			rounds := 0
			for b.Loop() {
				b.StopTimer()
				s := newShelf(c.d, c.keys, n)
				q, err := outbox.New(outbox.Config{Store: s, Destinations: []outbox.Destination{c.d}, Alerts: manager(b)})
				if err != nil {
					b.Fatal(err)
				}
				runtime.ReadMemStats(&before)
				b.StartTimer()
				began := time.Now()
				ctx, cancel := context.WithCancel(b.Context())
				ended := make(chan error, 1)
				go func() { ended <- q.Run(ctx) }()
				<-s.empty
				best = min(best, time.Since(began))
				b.StopTimer()
				runtime.ReadMemStats(&after)
				cancel()
				if err := <-ended; err != nil {
					b.Fatal(err)
				}
				allocs += after.Mallocs - before.Mallocs
				bytes += after.TotalAlloc - before.TotalAlloc
				rounds++
				b.StartTimer()
			}
			total := float64(rounds) * n
			b.ReportMetric(float64(best.Nanoseconds())/n, "ns/msg")
			b.ReportMetric(float64(allocs)/total, "allocs/msg")
			b.ReportMetric(float64(bytes)/total, "B/msg")
			b.ReportMetric(0, "ns/op")
		})
	}
}
