package kafkasink_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/internal/sinktest"
	"github.com/tectari/dovetail/sink/kafkasink"
)

func TestABrokerThatStopsLosesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, time.Second)
	l := sinktest.NewLine(t, b.topic, b.sink)
	for round := range 2 {
		l.Send(100)
		l.WaitDelivered(200*round + 20) // some are under way
		b.cluster.Close()
		l.Send(100)
		require.Equal(t, dovetail.Unavailable, dovetail.Classify(l.WaitFailure(len(l.Failures()))))
		b.start()
		l.WaitDelivered(200 * (round + 1))
		require.Empty(t, l.Dead())
	}
	require.Zero(t, l.Check(b.received()), "duplicates")
	l.CheckNoAttemptBurnt()
}

// The client knows whether it was stored by the sequence number that it repeats.
func TestALostAcknowledgementStoresOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, time.Second)
	l := sinktest.NewLine(t, b.topic, b.sink)
	l.Send(20)
	l.WaitDelivered(20)
	b.proxy.HoldReplies(true)
	l.Send(20)
	l.WaitFailure(0)
	require.Greater(t, len(b.records()), 20, "stored, and nobody was told")
	b.proxy.Cut()
	b.proxy.HoldReplies(false)
	l.WaitDelivered(40)
	require.Zero(t, l.Check(b.received()), "duplicates")
	l.CheckNoAttemptBurnt()
}

func TestALateAcknowledgementIsWaitedForAgain(t *testing.T) {
	t.Parallel()
	b := setup(t, 200*time.Millisecond)
	l := sinktest.NewLine(t, b.topic, b.sink)
	l.Send(20)
	l.WaitDelivered(20)
	b.proxy.HoldReplies(true)
	l.Send(20)
	failed := len(l.Failures())
	err := l.WaitFailure(failed)
	require.Equal(t, dovetail.Unavailable, dovetail.Classify(err))
	require.ErrorContains(t, err, "no acknowledgement in time")
	l.WaitFailure(failed + 8) // several probes of the same message
	b.proxy.HoldReplies(false)
	l.WaitDelivered(40)
	require.Zero(t, l.Check(b.received()), "duplicates")
	l.CheckNoAttemptBurnt()
}

// What was never sent is dropped by the client, and produced by a later attempt.
func TestASilentBrokerIsUnavailable(t *testing.T) {
	t.Parallel()
	b := setup(t, 200*time.Millisecond)
	b.proxy.Blackhole(true)
	l := sinktest.NewLine(t, b.topic, b.sink)
	l.Send(20)
	require.Equal(t, dovetail.Unavailable, dovetail.Classify(l.WaitFailure(3)))
	b.proxy.Blackhole(false)
	b.proxy.Cut()
	l.WaitDelivered(20)
	require.Zero(t, l.Check(b.received()), "duplicates")
	l.CheckNoAttemptBurnt()
}

// The next attempt after an outage delivers: it is not told of a record that an
// earlier attempt left behind and the client dropped.
func TestADroppedRecordIsProducedAnew(t *testing.T) {
	t.Parallel()
	b := setup(t, 2*time.Second)
	b.proxy.Blackhole(true)
	require.Equal(t, dovetail.Unavailable, dovetail.Classify(b.sink.Handle(t.Context(), b.delivery("1"))))
	b.proxy.Blackhole(false)
	b.proxy.Cut()
	require.NoError(t, b.sink.Handle(t.Context(), b.delivery("1")))
	require.Len(t, b.records(), 1)
}

func TestASlowBrokerIsWaitedFor(t *testing.T) {
	t.Parallel()
	b := setup(t, 0)
	b.proxy.Delay(20 * time.Millisecond)
	l := sinktest.NewLine(t, b.topic, b.sink)
	l.Send(40)
	l.WaitDelivered(40)
	require.Empty(t, l.Failures())
	require.Zero(t, l.Check(b.received()), "duplicates")
}

func TestConnectionsThatAreCutAreMadeAgain(t *testing.T) {
	t.Parallel()
	b := setup(t, 2*time.Second)
	l := sinktest.NewLine(t, b.topic, b.sink)
	for round := range 5 {
		l.Send(40)
		l.WaitDelivered(40*round + 5)
		b.proxy.Cut()
	}
	l.WaitDelivered(200)
	require.Zero(t, l.Check(b.received()), "duplicates")
	l.CheckNoAttemptBurnt()
}

func TestTooFewReplicasAreWaitedFor(t *testing.T) {
	t.Parallel()
	b := setup(t, 300*time.Millisecond)
	fault := b.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: -1})
	l := sinktest.NewLine(t, b.topic, b.sink)
	l.Send(20)
	require.Equal(t, dovetail.Unavailable, dovetail.Classify(l.WaitFailure(2)))
	fault.Remove()
	l.WaitDelivered(20)
	require.Zero(t, l.Check(b.received()), "duplicates")
	l.CheckNoAttemptBurnt()
}

func TestAClosedClientSaysSo(t *testing.T) {
	t.Parallel()
	b := setup(t, time.Second)
	b.client.Close()
	err := b.sink.Handle(t.Context(), b.delivery("1"))
	require.Equal(t, dovetail.Unavailable, dovetail.Classify(err))
	require.ErrorContains(t, err, "client closed")
}

// A message that is discarded, or goes on at another relay, never asks for its
// record again.
func TestRecordsThatNobodyAsksForAreBounded(t *testing.T) {
	t.Parallel()
	b := setup(t, 300*time.Millisecond)
	require.NoError(t, b.sink.Handle(t.Context(), b.delivery("first")))
	b.proxy.HoldReplies(true)
	const n = 1500
	errs := make(chan error, n)
	for i := range n {
		go func() { errs <- b.sink.Handle(t.Context(), b.delivery(fmt.Sprint(i))) }()
	}
	for range n {
		require.Equal(t, dovetail.Unavailable, dovetail.Classify(<-errs))
	}
	b.proxy.HoldReplies(false)
	sinktest.Eventually(t, 30*time.Second, func() error { return b.sink.Handle(t.Context(), b.delivery("next")) })
	require.NoError(t, b.sink.Handle(t.Context(), b.delivery("last")))
	require.LessOrEqual(t, kafkasink.InFlight(b.sink), 1)
}
