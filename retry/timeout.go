package retry

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

var errNothing = errors.New("the base returned neither an answer nor an error")

// timeout ends one attempt that takes too long: until its header is here, and
// then each Read of the body.
type timeout struct {
	ctx    context.Context //nolint:containedctx // it is the attempt's own
	cancel context.CancelFunc
	timer  *time.Timer
	length time.Duration
	late   atomic.Bool
}

func newTimeout(ctx context.Context, d time.Duration) *timeout {
	a := &timeout{length: d}
	a.ctx, a.cancel = context.WithCancel(ctx)
	a.timer = time.AfterFunc(d, func() {
		a.late.Store(true)
		a.cancel()
	})
	return a
}

func (a *timeout) fired() bool { return a.late.Load() }

func (a *timeout) end() {
	a.timer.Stop()
	a.cancel()
}

// wrap ties what an answer holds (its timeout, its concurrency slots) to its body.
func (t *Transport) wrap(resp *http.Response, a *timeout) {
	if a != nil {
		a.timer.Stop()
	}
	if a == nil && len(t.gate.slots) == 0 {
		return
	}
	if resp.Body == nil || resp.Body == http.NoBody || resp.StatusCode == http.StatusSwitchingProtocols {
		t.gate.release()
		if a != nil && resp.StatusCode != http.StatusSwitchingProtocols {
			a.end()
		}
		return
	}
	resp.Body = &tracked{ReadCloser: resp.Body, t: t, a: a}
}

// tracked is a body that gives back what its request holds when it has been read
// to the end or closed.
type tracked struct {
	io.ReadCloser
	t    *Transport
	a    *timeout
	once sync.Once
}

// Read fails with a timeout if nothing comes within Config.AttemptTimeout.
func (b *tracked) Read(p []byte) (int, error) {
	if b.a != nil && !b.a.fired() {
		b.a.timer.Reset(b.a.length)
		defer b.a.timer.Stop()
	}
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		if b.a != nil && b.a.fired() {
			err = errTimeout
		}
		b.once.Do(b.t.gate.release)
	}
	return n, err
}

// Close closes the body and gives back what the request holds.
func (b *tracked) Close() error {
	err := b.ReadCloser.Close()
	b.once.Do(b.t.gate.release)
	if b.a != nil {
		b.a.end()
	}
	return err
}
