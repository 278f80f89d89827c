package amqpsink

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// maxAside bounds the channels of a connection whose confirmation is awaited by
// nobody. Beyond it the connection is given up.
const maxAside = 256

// A link is one connection and its channels. Each channel has one message under
// way at most, so that a return, a refusal or a closed channel names its message.
type link struct {
	conn    *amqp.Connection
	most    int    // channels aside
	drop    func() // ends the connection without a word
	watcher sync.WaitGroup

	mu      sync.Mutex
	free    []*channel // nothing under way
	aside   []*channel // a confirmation is awaited by nobody
	why     string     // why the broker takes no messages, "" when it does
	changed chan struct{}
}

// A channel publishes one message at a time.
type channel struct {
	*amqp.Channel
	confirms chan amqp.Confirmation
	returns  chan amqp.Return
	closed   chan *amqp.Error
	busy     bool   // a message was published and not confirmed
	id, key  string // which one
}

// reason returns why the channel was closed.
func (c *channel) reason() error {
	if err := <-c.closed; err != nil {
		return err
	}
	return amqp.ErrClosed
}

// bounded is a connection whose writes end: the client has no limit for them, and
// a network that swallows everything would hold a worker for as long as TCP
// tries.
type bounded struct {
	net.Conn
	timeout time.Duration
}

func (b *bounded) Write(p []byte) (int, error) {
	if err := b.SetWriteDeadline(time.Now().Add(b.timeout)); err != nil {
		return 0, err
	}
	return b.Conn.Write(p)
}

// dial connects. The link gives up beyond so many channels whose confirmation is
// awaited by nobody.
func dial(ctx context.Context, c Config, most int) (*link, error) {
	open := c.Connection.Dial
	if open == nil {
		open = func(network, addr string) (net.Conn, error) { return new(net.Dialer).DialContext(ctx, network, addr) }
	}
	var raw net.Conn
	c.Connection.Dial = func(network, addr string) (net.Conn, error) {
		conn, err := open(network, addr)
		if err != nil {
			return nil, err
		}
		raw = conn
		// For the handshake; the client clears it afterwards.
		if err := conn.SetDeadline(time.Now().Add(c.Timeout)); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		return &bounded{Conn: conn, timeout: c.Timeout}, nil
	}
	conn, err := amqp.DialConfig(c.URL, c.Connection)
	if err != nil {
		return nil, err
	}
	l := &link{conn: conn, most: most, changed: make(chan struct{})}
	l.drop = func() { _ = raw.Close() } // the client sees it and closes the rest
	blockings := conn.NotifyBlocked(make(chan amqp.Blocking, 8))
	l.watcher.Go(func() {
		for b := range blockings { // until the connection ends
			l.mu.Lock()
			if l.why = ""; b.Active {
				l.why = "it says no reason"
				if b.Reason != "" {
					l.why = b.Reason
				}
			}
			close(l.changed)
			l.changed = make(chan struct{})
			l.mu.Unlock()
		}
	})
	return l, nil
}

// close says goodbye and ends the connection.
func (l *link) close(within time.Duration) error {
	err := l.conn.CloseDeadline(time.Now().Add(within))
	l.drop()
	l.watcher.Wait()
	if errors.Is(err, amqp.ErrClosed) {
		return nil // it had ended by itself
	}
	return err
}

// blocking returns why the broker takes no messages now, and a channel that is
// closed when that changes.
func (l *link) blocking() (why string, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.why, l.changed
}

// acquire returns the channel on which the message is under way, or one on which
// nothing is.
func (l *link) acquire(ctx context.Context, id, key string) (*channel, error) {
	if c := l.take(id, key); c != nil {
		return c, nil
	}
	// The client waits for the broker's answers without a limit.
	defer context.AfterFunc(ctx, l.drop)()
	ch, err := l.conn.Channel()
	if err != nil {
		return nil, err
	}
	c := &channel{
		Channel: ch, confirms: ch.NotifyPublish(make(chan amqp.Confirmation, 1)),
		returns: ch.NotifyReturn(make(chan amqp.Return, 1)), closed: ch.NotifyClose(make(chan *amqp.Error, 1)),
	}
	if err := ch.Confirm(false); err != nil {
		return nil, err
	}
	return c, nil
}

// take is acquire without a new channel.
func (l *link) take(id, key string) *channel {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, c := range l.aside {
		if c.id == id && c.key == key {
			l.aside = slices.Delete(l.aside, i, i+1)
			return c
		}
	}
	for len(l.free) > 0 {
		c := l.free[len(l.free)-1]
		l.free = l.free[:len(l.free)-1]
		if !c.IsClosed() {
			return c
		}
	}
	return nil
}

// release gives a channel back. One whose message is under way is kept for the
// next attempt of the same message, also when its confirmation has come meanwhile:
// that attempt needs to know.
func (l *link) release(c *channel) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !c.busy {
		l.free = append(l.free, c)
		return
	}
	l.aside = append(l.aside, c)
	if len(l.aside) <= l.most {
		return
	}
	// Messages that were discarded or went to another relay never come back.
	l.aside = slices.DeleteFunc(l.aside, func(c *channel) bool {
		select {
		case _, ok := <-c.confirms:
			return !ok || l.reuse(c)
		default:
			return false
		}
	})
	if len(l.aside) > l.most {
		l.drop()
	}
}

// reuse frees the channel of a message of which nobody wants to know any more. The
// caller holds the lock.
func (l *link) reuse(c *channel) bool {
	select {
	case <-c.returns:
	default:
	}
	c.busy = false
	l.free = append(l.free, c)
	return true
}
