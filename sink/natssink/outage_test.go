package natssink_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/internal/sinktest"
	"github.com/tectari/dovetail/sink/natssink"
)

// behind returns a proxy before a server, and a connection through it.
func behind(t *testing.T, url string) (*sinktest.Proxy, jetstream.JetStream) {
	t.Helper()
	proxy := sinktest.NewProxy(t, strings.TrimPrefix(url, "nats://"))
	return proxy, connect(t, "nats://"+proxy.Addr())
}

func TestAKilledServerLosesNothing(t *testing.T) {
	t.Parallel()
	process, url := ownServer(t, "")
	b := setup(t, url, connect(t, url))
	l := sinktest.NewLine(t, b.subject, b.sink)
	for round := range 3 {
		l.Send(100)
		l.WaitDelivered(100*round + 20) // some are under way
		process.Kill()
		l.Send(100)
		class := dovetail.Classify(l.WaitFailure(len(l.Failures())))
		require.Equal(t, dovetail.Unavailable, class)
		process.Restart()
		l.WaitDelivered(200 * (round + 1))
		require.Empty(t, l.Dead())
	}
	sinktest.Eventually(t, 10*time.Second, func() error {
		if b.js.Conn().Status() != nats.CONNECTED {
			return fmt.Errorf("not connected again")
		}
		return nil
	})
	require.Zero(t, l.Check(b.received()), "duplicates")
	l.CheckNoAttemptBurnt()
}

func TestALostAcknowledgementStoresOnce(t *testing.T) {
	t.Parallel()
	url := server(t)
	proxy, js := behind(t, url)
	b := setup(t, url, js)
	l := sinktest.NewLine(t, b.subject, b.sink)
	l.Send(20)
	l.WaitDelivered(20)
	proxy.HoldReplies(true)
	l.Send(20)
	sinktest.Eventually(t, 10*time.Second, func() error {
		if n := len(b.received()); n <= 20 {
			return fmt.Errorf("%d stored", n)
		}
		return nil
	})
	cut := time.Now()
	proxy.Cut()
	proxy.HoldReplies(false)
	l.WaitDelivered(40)
	require.NotEmpty(t, l.Failures(), "acknowledgements were lost")
	require.Less(t, time.Since(cut), 1500*time.Millisecond, "the end of the connection is seen; nobody waits for the timeout")
	require.Zero(t, l.Check(b.received()), "duplicates")
	l.CheckNoAttemptBurnt()
}

func TestASilentServerIsUnavailable(t *testing.T) {
	t.Parallel()
	url := server(t)
	proxy, js := behind(t, url)
	b := setup(t, url, js, func(_ *jetstream.StreamConfig, c *natssink.Config) { c.Timeout = 200 * time.Millisecond })
	l := sinktest.NewLine(t, b.subject, b.sink)
	l.Send(20)
	l.WaitDelivered(20)
	proxy.Blackhole(true)
	l.Send(20)
	err := l.WaitFailure(len(l.Failures()))
	require.Equal(t, dovetail.Unavailable, dovetail.Classify(err))
	require.ErrorContains(t, err, "no acknowledgement in time")
	proxy.Blackhole(false)
	l.WaitDelivered(40)
	require.Zero(t, l.Check(b.received()), "duplicates")
	l.CheckNoAttemptBurnt()
}

func TestASlowServerIsWaitedFor(t *testing.T) {
	t.Parallel()
	url := server(t)
	proxy, js := behind(t, url)
	b := setup(t, url, js)
	proxy.Delay(30 * time.Millisecond)
	l := sinktest.NewLine(t, b.subject, b.sink)
	l.Send(40)
	l.WaitDelivered(40)
	require.Empty(t, l.Failures())
	require.Zero(t, l.Check(b.received()), "duplicates")
}

func TestConnectionsThatAreCutAreMadeAgain(t *testing.T) {
	t.Parallel()
	url := server(t)
	proxy, js := behind(t, url)
	b := setup(t, url, js)
	l := sinktest.NewLine(t, b.subject, b.sink)
	for round := range 5 {
		l.Send(40)
		l.WaitDelivered(40*round + 5)
		proxy.Cut()
	}
	l.WaitDelivered(200)
	require.Zero(t, l.Check(b.received()), "duplicates")
	l.CheckNoAttemptBurnt()
}

// A client that is not connected would keep what it is given and send it when the
// queue has long gone on.
func TestNothingIsHandedToAClientThatIsNotConnected(t *testing.T) {
	t.Parallel()
	process, url := ownServer(t, "")
	js := connect(t, url)
	b := setup(t, url, js)
	process.Kill()
	sinktest.Eventually(t, 10*time.Second, func() error {
		if js.Conn().Status() == nats.CONNECTED {
			return fmt.Errorf("still connected")
		}
		return nil
	})
	began := time.Now()
	err := b.sink.Handle(t.Context(), b.delivery("1"))
	require.Equal(t, dovetail.Unavailable, dovetail.Classify(err))
	require.ErrorContains(t, err, "not connected")
	require.Less(t, time.Since(began), time.Second, "it is known at once")
	buffered, err := js.Conn().Buffered()
	require.NoError(t, err)
	require.Zero(t, buffered)
}

func TestPermissionIsNamed(t *testing.T) {
	t.Parallel()
	_, url := ownServer(t, `authorization { users = [
		{ user: all, password: "all-secret" }
		{ user: few, password: "few-secret", permissions: { publish: { deny: "dovetail.>" } } }
	] }`)
	all := strings.Replace(url, "nats://", "nats://all:all-secret@", 1)
	few := connect(t, strings.Replace(url, "nats://", "nats://few:few-secret@", 1))
	b := setup(t, all, few, func(_ *jetstream.StreamConfig, c *natssink.Config) { c.Timeout = 300 * time.Millisecond })
	err := b.sink.Handle(t.Context(), b.delivery("1"))
	require.Equal(t, dovetail.Auth, dovetail.Classify(err), "%v", err)
	require.ErrorContains(t, err, "may not publish to it")

	wrong := connect(t, strings.Replace(url, "nats://", "nats://all:wrong-secret@", 1), nats.RetryOnFailedConnect(true))
	b = setup(t, all, wrong)
	sinktest.Eventually(t, 10*time.Second, func() error {
		err = b.sink.Handle(t.Context(), b.delivery("1"))
		if dovetail.Classify(err) != dovetail.Auth {
			return err
		}
		return nil
	})
	require.NotContains(t, err.Error(), "secret")
	require.ErrorContains(t, err, "credentials")
}

func TestAServerWithoutJetStreamIsUnavailable(t *testing.T) {
	t.Parallel()
	_, url := ownServer(t, "accounts { A { users: [{ user: a, password: a }] } }\nno_auth_user: a")
	js := connect(t, url)
	sink, err := natssink.New(natssink.Config{JetStream: js, Stream: "ORDERS"})
	require.NoError(t, err)
	b := &bundle{subject: "orders.created"}
	require.Equal(t, dovetail.Unavailable, dovetail.Classify(sink.Handle(t.Context(), b.delivery("1"))))
	require.Equal(t, dovetail.Unavailable, dovetail.Classify(sink.Check(t.Context())))
}

func TestAClosedConnectionSaysSo(t *testing.T) {
	t.Parallel()
	url := server(t)
	js := connect(t, url)
	b := setup(t, url, js)
	js.Conn().Close()
	err := b.sink.Handle(t.Context(), b.delivery("1"))
	require.Equal(t, dovetail.Unavailable, dovetail.Classify(err))
	require.ErrorContains(t, err, "close it after the queue has ended")
}
