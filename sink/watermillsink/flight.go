package watermillsink

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
)

// maxSettled bounds the calls of which nobody asks any more.
const maxSettled = 1024

// An identity is what makes two attempts attempts of one message.
type identity struct{ topic, key, id string }

// A call is one of the publisher. Its err and panicked are set once done is
// closed.
type call struct {
	done     chan struct{}
	err      error
	panicked string
}

// errExited is the failure of a publisher that ended its goroutine.
var errExited = errors.New("the publisher ended its goroutine (runtime.Goexit)")

// run calls publish. A panic is kept for whoever waits: in this goroutine it would
// end the process.
func (c *call) run(publish func() error) {
	c.err = errExited
	defer func() {
		if v := recover(); v != nil {
			c.panicked = fmt.Sprintf("%v\n\n%s", v, debug.Stack())
		}
		close(c.done)
	}()
	c.err = publish()
}

// ok reports whether the call, which is over, published.
func (c *call) ok() bool { return c.err == nil && c.panicked == "" }

func (c *call) over() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// A flight is the calls of the publisher that nobody has heard the outcome of. A
// publisher may ignore the context, so each call has a goroutine; an attempt that
// ran out of time leaves its call there, and the next one waits for the same call
// instead of making another.
type flight struct {
	mu    sync.Mutex
	calls map[identity]*call
}

// join returns the call for a message, and whether it began it, since there was
// none.
func (f *flight) join(who identity, publish func() error) (c *call, began bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c := f.calls[who]; c != nil {
		return c, false
	}
	if len(f.calls) >= maxSettled {
		// Messages that were discarded or went to another relay never come back.
		for other, c := range f.calls {
			if c.over() {
				delete(f.calls, other)
			}
		}
	}
	c = &call{done: make(chan struct{})}
	f.calls[who] = c
	go c.run(publish)
	return c, true
}

// forget removes a call whose outcome was heard.
func (f *flight) forget(who identity, c *call) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.calls[who] == c {
		delete(f.calls, who)
	}
}

// wait waits until no call is under way.
func (f *flight) wait(ctx context.Context) error {
	f.mu.Lock()
	var under []*call
	for _, c := range f.calls {
		under = append(under, c)
	}
	f.mu.Unlock()
	for _, c := range under {
		select {
		case <-c.done:
		case <-ctx.Done():
			return fmt.Errorf("watermillsink: %d messages were handed to the publisher, which does not return: %w", len(under), ctx.Err())
		}
	}
	return nil
}
