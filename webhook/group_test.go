package webhook

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail/outbox"
)

// crowd sends n deliveries at once while the first transactions stand still, and
// returns their statuses. The body of i is bodyOf(i).
func (b *bundle) crowd(n int, bodyOf func(int) string, free chan struct{}) []int {
	statuses := make([]int, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			body := []byte(bodyOf(i))
			statuses[i] = b.post(SignStandard(secretA, fmt.Sprint("msg_", i), b.now, body), body).StatusCode
		})
	}
	synctest.Wait() // all of them wait
	close(free)
	wg.Wait()
	return statuses
}

func TestDeliveriesThatComeTogetherShareATransaction(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, Standard(secretA))
		free := make(chan struct{})
		var transactions atomic.Int64
		b.store.hold = func() { transactions.Add(1); <-free }
		for _, status := range b.crowd(50, func(i int) string { return fmt.Sprint("body ", i) }, free) {
			require.Equal(t, http.StatusOK, status)
		}
		require.Len(t, b.stored(), 50)
		require.LessOrEqual(t, transactions.Load(), int64(4), "two of one delivery each, then the others together")
		require.Len(t, b.heard.of("outbox.enqueue"), 50)
	})
}

// What is wrong with one delivery is not the others' fault.
func TestOneBadDeliveryOfManyIsRefusedAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, Standard(secretA))
		b.r.config.MaxBytes = 4 << 20 // the queue has a bound of its own
		free := make(chan struct{})
		b.store.hold = func() { <-free }
		statuses := b.crowd(20, func(i int) string {
			if i == 7 {
				return strings.Repeat("x", 2<<20)
			}
			return fmt.Sprint("body ", i)
		}, free)
		for i, status := range statuses {
			if i == 7 {
				require.Equal(t, http.StatusRequestEntityTooLarge, status)
			} else {
				require.Equal(t, http.StatusOK, status, "delivery %d", i)
			}
		}
		require.Len(t, b.stored(), 19)
	})
}

// A goroutine that ends in the middle of the others' transaction leaves nobody waiting,
// and nobody who thinks that he is stored.
func TestAPanicOfTheStoreLeavesNobodyWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, Standard(secretA))
		free := make(chan struct{})
		var transactions atomic.Int64
		b.store.hold = func() {
			n := transactions.Add(1)
			<-free
			if n == 3 { // the first that many share
				panic("of the store")
			}
		}
		var wg sync.WaitGroup
		var ok, failed, panicked atomic.Int64
		for i := range 30 {
			wg.Go(func() {
				defer func() {
					if recover() != nil {
						panicked.Add(1)
					}
				}()
				body := fmt.Appendf(nil, "body %d", i)
				switch b.post(SignStandard(secretA, fmt.Sprint("msg_", i), b.now, body), body).StatusCode {
				case http.StatusOK:
					ok.Add(1)
				case http.StatusServiceUnavailable:
					failed.Add(1)
				}
			})
		}
		synctest.Wait()
		close(free)
		wg.Wait()
		require.EqualValues(t, 1, panicked.Load())
		require.EqualValues(t, 30, ok.Load()+failed.Load()+1)
		require.Len(t, b.stored(), int(ok.Load()))
		body := []byte("after")
		require.Equal(t, http.StatusOK, b.post(SignStandard(secretA, "after", b.now, body), body).StatusCode, "the next is taken in")
	})
}

type traceKey struct{}

// Messages that share a transaction keep the traces of their own requests.
func TestEachDeliveryKeepsItsOwnTrace(t *testing.T) {
	t.Parallel()
	var ctxs []context.Context
	var messages []outbox.Message
	for i := range 3 {
		ctxs = append(ctxs, context.WithValue(t.Context(), traceKey{}, i))
		messages = append(messages, outbox.Message{ID: fmt.Sprint(i), To: "orders"})
	}
	b := setup(t, Standard(secretA))
	b.heard.start = func(ctx context.Context, id string) {
		require.Equal(t, id, fmt.Sprint(ctx.Value(traceKey{})))
	}
	err := b.queue.Tx(t.Context(), func(ctx context.Context, tx outbox.Tx) error {
		return b.queue.Enqueue(outbox.Each(ctx, ctxs), tx, messages...)
	})
	require.NoError(t, err)
	require.Len(t, b.heard.of("outbox.enqueue"), 3)
}
