package outbox_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/memstore"
)

// A hooked store lets a test change what a read returns.
type hooked struct {
	*memstore.Store
	after func(q outbox.ReadQuery, p outbox.Page) outbox.Page
}

func (h *hooked) ReadMessages(ctx context.Context, q outbox.ReadQuery) (outbox.Page, error) {
	page, err := h.Store.ReadMessages(ctx, q)
	return h.after(q, page), err
}

// runQueue runs the relay of q until the returned function is called.
func runQueue(t *testing.T, q *outbox.Queue) func() {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- q.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func TestCommitWhileALineJoinsIsNotPassed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var q *outbox.Queue
		var armed atomic.Bool
		store := &hooked{Store: memstore.New()}
		store.after = func(read outbox.ReadQuery, p outbox.Page) outbox.Page {
			// Between the end of what a missed and the next read of the others.
			if len(read.Wants) == 1 && read.Wants[0].Destination == "a" && armed.CompareAndSwap(true, false) {
				send(t, q, msg("a", "k", "2"))
			}
			return p
		}
		s, events := &sink{}, &told{}
		q = queueOn(t, store, events, outbox.Destination{Name: "a", Handler: s}, outbox.Destination{Name: "b", Handler: &sink{}})
		defer runQueue(t, q)()
		synctest.Wait()
		require.NoError(t, q.Pause(t.Context(), "a", "ana", "month-end"))
		time.Sleep(5 * time.Second)
		send(t, q, msg("a", "k", "1"), msg("b", "k", "b1"))
		time.Sleep(5 * time.Second)
		armed.Store(true)
		require.NoError(t, q.Resume(t.Context(), "a", "ana", "closed"))
		time.Sleep(time.Second)
		require.False(t, armed.Load(), "it was committed")
		require.Equal(t, []string{"1", "2"}, s.ids())
		time.Sleep(time.Minute)
		require.Zero(t, events.count("outbox.found-behind"))
	})
}

func TestWhatWasPassedIsFoundAndTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &hooked{Store: memstore.New()}
		store.after = func(read outbox.ReadQuery, p outbox.Page) outbox.Page {
			if read.Limit != 100 { // all reads but an audit
				p.Entries = slices.DeleteFunc(p.Entries, func(e outbox.Entry) bool { return e.ID == "2" })
			}
			return p
		}
		s, events := &sink{}, &told{}
		q := queueOn(t, store, events, outbox.Destination{Name: "a", Handler: s})
		defer runQueue(t, q)()
		synctest.Wait()
		send(t, q, msg("a", "k", "1"), msg("a", "l", "2"), msg("a", "k", "3"))
		time.Sleep(4 * time.Second)
		require.Equal(t, []string{"1", "3"}, s.ids())
		time.Sleep(11 * time.Second)
		require.Equal(t, []string{"1", "3", "2"}, s.ids(), "it is delivered")
		require.Equal(t, 1, events.count("outbox.found-behind"))
		for _, e := range events.all() {
			if e.Name == "outbox.found-behind" {
				require.Error(t, e.Err, "loudly")
				require.Equal(t, "2", e.Message)
			}
		}
	})
}
