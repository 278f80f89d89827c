package outbox_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/memstore"
)

// A fakeBell passes rings on to whoever listens, unless it is deaf.
type fakeBell struct {
	mu      sync.Mutex
	ears    map[int]func()
	serial  int
	rings   int
	listens int
	deaf    bool
	broken  bool
}

func (b *fakeBell) Ring(context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rings++
	if b.broken {
		return errors.New("no connection")
	}
	for _, rang := range b.ears {
		if !b.deaf {
			rang()
		}
	}
	return nil
}

func (b *fakeBell) Listen(ctx context.Context, rang func()) error {
	b.mu.Lock()
	b.serial++
	b.listens++
	n := b.serial
	if b.ears == nil {
		b.ears = map[int]func(){}
	}
	b.ears[n] = rang
	b.mu.Unlock()
	<-ctx.Done()
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.ears, n)
	return ctx.Err()
}

func (b *fakeBell) set(deaf, broken bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.deaf, b.broken = deaf, broken
}

func (b *fakeBell) counts() (rings, listens int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.rings, b.listens
}

// twoProcesses returns a queue that enqueues and one whose relay delivers, on one
// store, with polling too slow to matter.
func twoProcesses(t *testing.T, bell outbox.Bell) (producer, relay *outbox.Queue, s *sink, events *told) {
	t.Helper()
	store := memstore.New()
	s, events = &sink{}, &told{}
	config := outbox.Config{Store: store, Alerts: manager(t), Observer: events, Bell: bell, PollMin: time.Hour, PollMax: time.Hour}
	config.Destinations = []outbox.Destination{{Name: "a"}}
	producer, err := outbox.New(config)
	require.NoError(t, err)
	config.Destinations = []outbox.Destination{{Name: "a", Handler: s}}
	relay, err = outbox.New(config)
	require.NoError(t, err)
	return producer, relay, s, events
}

func TestBellWakesARelayOfAnotherProcess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bell := &fakeBell{}
		producer, relay, s, _ := twoProcesses(t, bell)
		defer runQueue(t, relay)()
		time.Sleep(time.Second)
		send(t, producer, msg("a", "k", "1"))
		synctest.Wait()
		require.Equal(t, []string{"1"}, s.ids(), "at once, without a poll")
	})
}

func TestRingsAreFew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bell := &fakeBell{}
		producer, _, _, _ := twoProcesses(t, bell)
		began := time.Now()
		for range 1000 {
			producer.Wake()
			time.Sleep(100 * time.Microsecond)
		}
		time.Sleep(time.Second)
		rings, _ := bell.counts()
		require.LessOrEqual(t, rings, int(100*time.Millisecond/(2*time.Millisecond))+2, "in %s", time.Since(began))
		require.Positive(t, rings)
	})
}

func TestDeafBellIsToldOnceAndPollingGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bell := &fakeBell{deaf: true}
		s, events := &sink{}, &told{}
		q, err := outbox.New(outbox.Config{
			Store: memstore.New(), Alerts: manager(t), Observer: events, Bell: bell, Destinations: []outbox.Destination{{Name: "a", Handler: s}},
		})
		require.NoError(t, err)
		defer runQueue(t, q)()
		time.Sleep(10 * time.Minute)
		require.Equal(t, 1, events.count("outbox.bell"), "one deafness is told once")
		_, listens := bell.counts()
		require.Greater(t, listens, 5, "it is tried again")
		require.Less(t, listens, 60, "gently")
		send(t, q, msg("a", "k", "1"))
		time.Sleep(time.Second)
		require.Equal(t, []string{"1"}, s.ids())

		bell.set(false, false)
		time.Sleep(5 * time.Minute)
		bell.set(false, true)
		time.Sleep(time.Minute)
		require.Equal(t, 2, events.count("outbox.bell"), "the next failure is told again")
	})
}
