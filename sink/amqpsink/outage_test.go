package amqpsink_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/internal/sinktest"
	"github.com/tectari/dovetail/sink/amqpsink"
)

// One broker of its own, since it takes long to start: what it refuses, then what
// it blocks, then its death.
func TestABrokerThatRefusesBlocksAndDies(t *testing.T) {
	t.Parallel()
	broker := ownServer(t)

	t.Run("a message above its limit is Invalid", func(t *testing.T) {
		b := setup(t, broker.url, "", nil)
		d := b.delivery("1")
		d.Payload = []byte(strings.Repeat("secret", 20_000))
		err := b.handle(b.sink, d)
		require.Equal(t, dovetail.Invalid, dovetail.Classify(err), "%v", err)
		require.NotContains(t, err.Error(), "secret")
		require.NoError(t, b.handle(b.sink, b.delivery("2")))
	})

	t.Run("an exchange that the user may not write to is Auth", func(t *testing.T) {
		b := setup(t, broker.url, strings.Replace(broker.url, "guest:guest", "few:few-secret", 1), nil)
		err := b.handle(b.sink, b.delivery("1"))
		require.Equal(t, dovetail.Auth, dovetail.Classify(err), "%v", err)
		require.NotContains(t, err.Error(), "secret")
	})

	t.Run("a broker without disk is waited for", func(t *testing.T) {
		b := setup(t, broker.url, "", nil)
		l := sinktest.NewLine(t, b.name, b.sink)
		l.Send(20)
		l.WaitDelivered(20)
		broker.diskNeeds(t, "1000000GB")
		l.Send(40)
		err := l.WaitFailure(0)
		require.Equal(t, dovetail.Unavailable, dovetail.Classify(err))
		require.ErrorContains(t, err, "the broker takes no messages now: low on disk")
		broker.diskNeeds(t, "1MB")
		l.WaitDelivered(60)
		require.Zero(t, l.Check(b.received()), "what was under way is not published again")
		l.CheckNoAttemptBurnt()
	})

	t.Run("a broker that is killed loses nothing", func(t *testing.T) {
		b := setup(t, broker.url, "", nil)
		// RabbitMQ writes the queue and its binding to its log some two seconds later.
		// Killed before, it has lost them, and all that was confirmed in them.
		time.Sleep(3 * time.Second)
		l := sinktest.NewLine(t, b.name, b.sink)
		l.Send(200)
		l.WaitDelivered(30) // some are under way
		broker.Kill()
		l.Send(100)
		require.Equal(t, dovetail.Unavailable, dovetail.Classify(l.WaitFailure(0)))
		broker.Restart()
		l.WaitDelivered(300)
		require.LessOrEqual(t, l.Check(b.received()), 8, "only what was under way comes twice")
		l.CheckNoAttemptBurnt()
		require.Empty(t, l.Dead())
	})
}

func TestALateConfirmationIsWaitedForAgain(t *testing.T) {
	t.Parallel()
	url := server(t)
	proxy, via := behind(t, url)
	b := setup(t, url, via, nil, func(c *amqpsink.Config) { c.Timeout = 300 * time.Millisecond })
	l := sinktest.NewLine(t, b.name, b.sink)
	l.Send(20)
	l.WaitDelivered(20)
	proxy.HoldReplies(true)
	l.Send(20)
	failed := len(l.Failures())
	require.ErrorContains(t, l.WaitFailure(failed), "no confirmation in time")
	l.WaitFailure(failed + 10) // several probes of the same message
	proxy.HoldReplies(false)
	l.WaitDelivered(40)
	require.Zero(t, l.Check(b.received()), "duplicates")
	l.CheckNoAttemptBurnt()
}

func TestALostConfirmationPublishesAgainWithTheSameID(t *testing.T) {
	t.Parallel()
	url := server(t)
	proxy, via := behind(t, url)
	b := setup(t, url, via, nil)
	l := sinktest.NewLine(t, b.name, b.sink)
	l.Send(20)
	l.WaitDelivered(20)
	proxy.HoldReplies(true)
	l.Send(20)
	sinktest.Eventually(t, 10*time.Second, func() error {
		if n := len(b.received()); n <= 20 {
			return fmt.Errorf("%d arrived", n)
		}
		return nil
	})
	proxy.Cut()
	proxy.HoldReplies(false)
	l.WaitDelivered(40)
	duplicates := l.Check(b.received())
	require.Positive(t, duplicates, "the confirmation was lost, so the message came twice")
	require.LessOrEqual(t, duplicates, 8, "only what was under way")
	l.CheckNoAttemptBurnt()
}

func TestConnectionsThatAreCutAreMadeAgain(t *testing.T) {
	t.Parallel()
	url := server(t)
	proxy, via := behind(t, url)
	b := setup(t, url, via, nil)
	l := sinktest.NewLine(t, b.name, b.sink)
	for round := range 5 {
		l.Send(40)
		l.WaitDelivered(40*round + 5)
		proxy.Cut()
	}
	l.WaitDelivered(200)
	l.Check(b.received())
	l.CheckNoAttemptBurnt()
}

func TestASlowBrokerIsWaitedFor(t *testing.T) {
	t.Parallel()
	url := server(t)
	proxy, via := behind(t, url)
	proxy.Delay(20 * time.Millisecond)
	b := setup(t, url, via, nil, func(c *amqpsink.Config) { c.Timeout = 10 * time.Second })
	l := sinktest.NewLine(t, b.name, b.sink)
	l.Send(40)
	l.WaitDelivered(40)
	require.Empty(t, l.Failures())
	require.Zero(t, l.Check(b.received()), "duplicates")
}

func TestABrokerThatSaysNothingCostsATimeout(t *testing.T) {
	t.Parallel()
	url := server(t)
	proxy, via := behind(t, url)
	b := setup(t, url, via, nil, func(c *amqpsink.Config) { c.Timeout = 300 * time.Millisecond })
	silent := func() {
		began := time.Now()
		err := b.handle(b.sink, b.delivery("1"))
		require.Equal(t, dovetail.Unavailable, dovetail.Classify(err), "%v", err)
		require.Less(t, time.Since(began), 5*time.Second)
		require.NotContains(t, err.Error(), "guest")
	}
	proxy.Blackhole(true)
	silent() // while it connects
	proxy.Blackhole(false)
	sinktest.Eventually(t, 10*time.Second, func() error { return b.handle(b.sink, b.delivery("0")) })
	proxy.Blackhole(true)
	silent() // while it publishes
	silent()
	require.Equal(t, dovetail.Unavailable, dovetail.Classify(b.sink.Check(t.Context())))
	proxy.Blackhole(false)
	sinktest.Eventually(t, 10*time.Second, func() error { return b.handle(b.sink, b.delivery("1")) })
}

// The client opens a channel and asks for an exchange without any limit of time.
func TestABrokerThatFallsSilentAtAQuestionCostsATimeout(t *testing.T) {
	t.Parallel()
	url := server(t)
	proxy, via := behind(t, url)
	b := setup(t, url, via, nil, func(c *amqpsink.Config) { c.Timeout = 300 * time.Millisecond })
	within := func(f func() error) {
		began := time.Now()
		require.Equal(t, dovetail.Unavailable, dovetail.Classify(f()))
		require.Less(t, time.Since(began), 5*time.Second)
	}
	unnamed := b.open(amqpsink.Config{URL: via, Timeout: 300 * time.Millisecond})
	sinktest.Eventually(t, 10*time.Second, func() error { return unnamed.Check(t.Context()) }) // no channel is needed
	sinktest.Eventually(t, 10*time.Second, func() error { return b.sink.Check(t.Context()) })
	proxy.Blackhole(true)
	within(func() error { return b.handle(unnamed, b.delivery("1")) })
	within(func() error { return b.sink.Check(t.Context()) })
}

func TestAClosedSinkSaysSo(t *testing.T) {
	t.Parallel()
	b := setup(t, server(t), "", nil)
	require.NoError(t, b.handle(b.sink, b.delivery("1")))
	require.NoError(t, b.sink.Close())
	require.NoError(t, b.sink.Close())
	err := b.handle(b.sink, b.delivery("2"))
	require.Equal(t, dovetail.Unavailable, dovetail.Classify(err))
	require.ErrorContains(t, err, "the sink was closed")
}

// A message that is discarded, or goes on at another relay, never asks for its
// confirmation again.
func TestConfirmationsThatNobodyAsksForAreBounded(t *testing.T) {
	t.Parallel()
	url := server(t)
	proxy, via := behind(t, url)
	b := setup(t, url, via, nil, func(c *amqpsink.Config) { c.Timeout = time.Second })
	amqpsink.SetMaxAside(b.sink, 25)
	all := func(round string, n int) (failed int) {
		errs := make(chan error, n)
		for i := range n {
			go func() { errs <- b.handle(b.sink, b.delivery(fmt.Sprint(round, i))) }()
		}
		for range n {
			if <-errs != nil {
				failed++
			}
		}
		return failed
	}
	require.Zero(t, all("a", 60))
	proxy.HoldReplies(true)
	require.Equal(t, 20, all("b", 20))
	proxy.HoldReplies(false)
	sinktest.Eventually(t, 10*time.Second, func() error {
		if n := len(b.received()); n < 80 {
			return fmt.Errorf("%d arrived", n)
		}
		return nil
	})
	require.NoError(t, b.handle(b.sink, b.delivery("c"))) // the confirmations came before this one
	proxy.HoldReplies(true)
	require.Equal(t, 10, all("d", 10))
	proxy.HoldReplies(false)
	require.NoError(t, b.handle(b.sink, b.delivery("e")))
	require.Equal(t, 1, proxy.Dialled(), "those of 20 messages were forgotten")
	proxy.HoldReplies(true)
	require.Equal(t, 30, all("f", 30))
	proxy.HoldReplies(false)
	sinktest.Eventually(t, 10*time.Second, func() error { return b.handle(b.sink, b.delivery("g")) })
	require.Equal(t, 2, proxy.Dialled(), "too many wait: the connection is given up")
}
