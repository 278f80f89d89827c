package outboxtest

import (
	"bytes"
	"context"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail/outbox"
)

// What people do to the queue while it works.
var deskScenarios = []scenario{
	{name: "desk/replayed-while-the-key-goes-on", run: func(e *env) {
		e.use()
		var mu sync.Mutex
		good := false
		e.answers("a", func(_ context.Context, d outbox.Delivery) error {
			mu.Lock()
			defer mu.Unlock()
			if !good && hash(d.ID)%4 == 0 {
				return invalid()
			}
			return nil
		})
		e.relay()
		stop, ended := make(chan struct{}), make(chan struct{})
		go func() { // live traffic of the same keys
			defer close(ended)
			for {
				select {
				case <-stop:
					return
				case <-time.After(5 * time.Millisecond):
					e.put("k", "l", "m")
				}
			}
		}()
		for range 10 {
			time.Sleep(50 * time.Millisecond)
			_, err := e.q.Replay(e.Context(), outbox.Filter{Destination: "a"}, "ana")
			require.NoError(e, err)
		}
		close(stop)
		<-ended
		mu.Lock()
		good = true
		mu.Unlock()
		e.until("nothing is left", func() bool {
			_, err := e.q.Replay(e.Context(), outbox.Filter{Destination: "a"}, "ana")
			require.NoError(e, err)
			time.Sleep(20 * time.Millisecond)
			return e.missing() == 0
		})
		e.settled()
	}},
	{name: "desk/discarded", run: func(e *env) {
		e.use()
		e.answers("a", refuses("bad"))
		e.relay()
		e.send(outbox.Message{ID: "bad", Key: "k"}, outbox.Message{Key: "k"}, outbox.Message{Key: "k"})
		e.letters(1)
		e.giveUp("bad")
		n, err := e.q.Discard(e.Context(), outbox.Filter{Key: "k"}, "ana", "a test")
		require.NoError(e, err)
		require.Equal(e, 1, n)
		e.put("k")
		e.settled()
	}},
	{name: "desk/discarded-while-the-next-is-parked", run: func(e *env) {
		e.use()
		e.answers("a", refuses("bad"))
		e.relay()
		e.send(outbox.Message{ID: "bad", Key: "k"})
		e.letters(1)
		free := make(chan struct{})
		f := hangs(parking, free)
		e.tap.on(f)
		e.put("k")
		e.until("the next is being parked", func() bool { return f.count() > 0 })
		e.giveUp("bad")
		done := make(chan error)
		go func() {
			_, err := e.q.Discard(context.WithoutCancel(e.Context()), outbox.Filter{Key: "k"}, "ana", "a test")
			done <- err
		}()
		time.Sleep(200 * time.Millisecond)
		e.tap.clear()
		close(free)
		require.NoError(e, <-done)
		e.settled()
	}},
	{name: "desk/two-replay-the-same-at-once", run: func(e *env) {
		e.use()
		e.answers("a", func(_ context.Context, d outbox.Delivery) error {
			if d.Replays == 0 {
				return invalid()
			}
			return nil
		})
		e.relay()
		e.put(ids("k", 40)...)
		e.letters(40)
		var group sync.WaitGroup
		counts := make([]int, 2)
		for i := range 2 {
			group.Go(func() {
				n, err := e.queue(e.keeper).Replay(e.Context(), outbox.Filter{Destination: "a"}, "ana")
				if err != nil {
					n = 1000
				}
				counts[i] = n
			})
		}
		group.Wait()
		require.Equal(e, 40, counts[0]+counts[1], "each is replayed by one of them")
		e.settled()
	}},
	{name: "desk/one-replays-and-one-discards", run: func(e *env) {
		e.use()
		e.answers("a", func(_ context.Context, d outbox.Delivery) error {
			if d.Replays == 0 {
				return invalid()
			}
			return nil
		})
		e.relay()
		e.put(ids("k", 40)...)
		e.letters(40)
		var group sync.WaitGroup
		var replayed, discarded int
		var err1, err2 error
		group.Go(func() { replayed, err1 = e.queue(e.keeper).Replay(e.Context(), outbox.Filter{}, "ana") })
		group.Go(func() { discarded, err2 = e.queue(e.keeper).Discard(e.Context(), outbox.Filter{}, "ben", "a test") })
		group.Wait()
		require.NoError(e, err1)
		require.NoError(e, err2)
		require.Equal(e, 40, replayed+discarded)
		e.until("the replayed ones come", func() bool { return e.rows() == 0 })
		require.Equal(e, replayed, e.arrived())
		for _, key := range ids("k", 40) {
			if len(e.came("a", key)) == 0 {
				e.giveUp(e.wanted("a", key)...)
			}
		}
		e.settled()
	}},
	{name: "desk/paused-across-processes", run: func(e *env) {
		e.use()
		c := e.child(0)
		e.put("k")
		e.delivered()
		require.NoError(e, e.q.Pause(e.Context(), "a", "ana", "their maintenance"))
		e.until("the other process has noticed", func() bool {
			e.put("k")
			time.Sleep(300 * time.Millisecond)
			return e.missing() > 0
		})
		n := e.arrived()
		e.put("k", "l", "k")
		time.Sleep(500 * time.Millisecond)
		require.Equal(e, n, e.arrived(), "nothing is delivered")
		c.stop()
		e.relay() // and a new one keeps to it
		time.Sleep(300 * time.Millisecond)
		require.Equal(e, n, e.arrived(), "nothing is delivered after a restart")
		require.NoError(e, e.q.Resume(e.Context(), "a", "ana", "it is over"))
		e.settled()
	}},
	{name: "desk/replayed-at-a-pace", run: func(e *env) {
		e.use()
		e.answers("a", func(_ context.Context, d outbox.Delivery) error {
			if d.Replays == 0 {
				return invalid()
			}
			return nil
		})
		e.relay()
		e.put(ids("k", 30)...)
		e.letters(30)
		began := time.Now()
		done, err := e.q.ReplayAll(e.Context(), outbox.Filter{Destination: "a"}, outbox.Pace{By: "ana", PerSecond: 100})
		require.NoError(e, err)
		require.Equal(e, 30, done.Messages)
		require.Greater(e, time.Since(began), 50*time.Millisecond, "it took its time")
		e.settled()
	}},
	{name: "desk/exported-and-recorded", run: func(e *env) {
		e.use()
		e.answers("a", func(context.Context, outbox.Delivery) error { return invalid() })
		e.relay()
		e.put(ids("k", 25)...)
		e.letters(25)
		var file bytes.Buffer
		n, err := e.q.Export(e.Context(), outbox.Filter{}, &file)
		require.NoError(e, err)
		require.Equal(e, 25, n)
		require.Equal(e, 25, bytes.Count(file.Bytes(), []byte("\n")))
		e.answers("a", nil)
		_, err = e.q.Replay(e.Context(), outbox.Filter{Destination: "a", Limit: 10}, "ana")
		require.NoError(e, err)
		_, err = e.q.Replay(e.Context(), outbox.Filter{Destination: "a"}, "ben")
		require.NoError(e, err)
		list, err := e.q.Operations(e.Context(), outbox.OperationFilter{})
		require.NoError(e, err)
		require.Len(e, list, 2)
		require.Equal(e, []any{"ben", 15, "ana", 10}, []any{list[0].Who, list[0].Messages, list[1].Who, list[1].Messages})
		e.settled()
	}},
}
