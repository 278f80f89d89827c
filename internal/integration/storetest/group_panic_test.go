package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tectari/dovetail/outbox"
)

// A panic in one caller's fn must reach that caller, who may recover it (net/http
// does), and nobody else: whoever leads the transaction runs it on its goroutine.
func TestAPanicReachesTheCallerWhoseFnPanicked(t *testing.T) {
	t.Parallel()
	s := openSQLite(t)
	hold, held := make(chan struct{}), make(chan struct{})
	call := func(fn func()) chan any {
		out := make(chan any, 1)
		go func() {
			defer func() { out <- recover() }()
			_ = s.Transact(context.Background(), func(context.Context, outbox.Tx) error { fn(); return nil })
		}()
		time.Sleep(50 * time.Millisecond)
		return out
	}
	first := call(func() { close(held); <-hold })
	<-held
	leader := call(func() {})
	culprit := call(func() { panic("of the culprit") })
	close(hold)
	require.Nil(t, <-first)
	require.Nil(t, <-leader, "the panic of another caller")
	require.Equal(t, "of the culprit", <-culprit)
}
