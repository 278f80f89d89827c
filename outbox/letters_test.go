package outbox_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/memstore"
)

// letters makes n dead letters over some keys, by a handler that refuses all.
func (b *bench) bury(s *sink, n, keys int) []string {
	b.t.Helper()
	s.set(always(dovetail.Invalid))
	ids := b.sendMany("a", n, keys)
	time.Sleep(time.Minute)
	require.Len(b.t, b.letters(outbox.Filter{Limit: n + 1}), n)
	return ids
}

func TestReplayAllIsPacedAndInTheOrderOfEachKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sink{}
		b := newBench(t, nil, outbox.Destination{Name: "a", Handler: s, Poison: outbox.SkipToDead})
		defer b.run()()
		ids := b.bury(s, 1000, 7)
		s.set(nil)
		began := time.Now()
		done, err := b.queue.ReplayAll(t.Context(), outbox.Filter{Destination: "a"}, outbox.Pace{By: "ana", Why: "their fix is out", PerSecond: 20})
		require.NoError(t, err)
		require.Equal(t, 1000, done.Messages)
		require.InDelta(t, 50, time.Since(began).Seconds(), 1, "20 in a second")
		time.Sleep(time.Second)
		require.Len(t, s.ids(), 1000, "each once")
		for k := range 7 {
			var want, got []string
			for i, id := range ids {
				if i%7 == k {
					want = append(want, id)
				}
			}
			for _, id := range s.ids() {
				if slices.Contains(want, id) {
					got = append(got, id)
				}
			}
			require.Equal(t, want, got)
		}
		ops, err := b.queue.Operations(t.Context(), outbox.OperationFilter{Action: outbox.ReplayAction, Limit: 1000})
		require.NoError(t, err)
		total := 0
		for _, op := range ops {
			require.Equal(t, "ana", op.Who)
			require.Equal(t, "their fix is out", op.Why)
			require.Equal(t, "a", op.Destination)
			require.LessOrEqual(t, op.Messages, 10, "in small pages")
			total += op.Messages
		}
		require.Equal(t, 1000, total, "all of it is recorded")
	})
}

func TestReplayAllSendsNoLetterTwiceAlthoughItDiesAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sink{}
		b := newBench(t, nil, outbox.Destination{Name: "a", Handler: s, Poison: outbox.SkipToDead})
		defer b.run()()
		b.bury(s, 100, 3)
		before := s.attempts()
		done, err := b.queue.ReplayAll(t.Context(), outbox.Filter{}, outbox.Pace{By: "ana", PerSecond: 2})
		require.NoError(t, err)
		require.Equal(t, 100, done.Messages)
		time.Sleep(time.Minute)
		require.Equal(t, 100, s.attempts()-before)
		for _, l := range b.letters(outbox.Filter{}) {
			require.Equal(t, 1, l.Replays)
		}
	})
}

func TestReplayAllEndsWhileLettersGoOnDying(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sink{}
		b := newBench(t, nil, outbox.Destination{Name: "a", Handler: s, Order: outbox.Unordered})
		defer b.run()()
		b.bury(s, 10, 0)
		ctx, cancel := context.WithCancel(t.Context())
		var sender sync.WaitGroup
		sender.Go(func() {
			for ctx.Err() == nil {
				err := b.queue.Tx(t.Context(), func(ctx context.Context, tx outbox.Tx) error {
					return b.queue.Enqueue(ctx, tx, msg("a", "", ""))
				})
				if err != nil {
					t.Error(err)
				}
				time.Sleep(time.Second)
			}
		})
		began := time.Now()
		_, err := b.queue.ReplayAll(t.Context(), outbox.Filter{}, outbox.Pace{By: "ana", PerSecond: 1})
		require.NoError(t, err)
		cancel()
		sender.Wait()
		require.Less(t, time.Since(began), 3*time.Minute)
	})
}

func TestReplayAllGoesOnWhereItWasStopped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sink{}
		b := newBench(t, nil, outbox.Destination{Name: "a", Handler: s})
		defer b.run()()
		b.bury(s, 100, 0)
		before := s.attempts()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		first, err := b.queue.ReplayAll(ctx, outbox.Filter{}, outbox.Pace{By: "ana", PerSecond: 2})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.InDelta(t, 40, first.Messages, 2)
		time.Sleep(time.Second)
		require.Equal(t, first.Messages, s.attempts()-before, "what was counted was sent, and no more")
		second, err := b.queue.ReplayAll(t.Context(), outbox.Filter{After: first.After}, outbox.Pace{By: "ben", PerSecond: 1000})
		require.NoError(t, err)
		require.Equal(t, 100, first.Messages+second.Messages)
		time.Sleep(time.Second)
		for _, l := range b.letters(outbox.Filter{}) {
			require.Equal(t, 1, l.Replays, "each once in all")
		}
		_, err = b.queue.ReplayAll(t.Context(), outbox.Filter{}, outbox.Pace{})
		require.ErrorIs(t, err, outbox.ErrNoReason)
	})
}

func TestReplayAllKeepsToItsLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sink{}
		b := newBench(t, nil, outbox.Destination{Name: "a", Handler: s})
		defer b.run()()
		b.bury(s, 100, 0)
		s.set(nil)
		done, err := b.queue.ReplayAll(t.Context(), outbox.Filter{Limit: 17}, outbox.Pace{By: "ana"})
		require.NoError(t, err)
		require.Equal(t, 17, done.Messages, "a few first, to see whether it helps")
	})
}

func TestLettersAreSelectedByTheirCause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sink{}
		s.set(func(d outbox.Delivery) error {
			field := "vat"
			if d.ID < "0500" {
				field = "phone"
			}
			return &dovetail.Error{Fault: dovetail.Invalid, Op: "write", Code: "422", Field: field, Err: errors.New("no")}
		})
		b := newBench(t, nil, outbox.Destination{Name: "a", Handler: s, Poison: outbox.SkipToDead}, outbox.Destination{Name: "b", Handler: s})
		defer b.run()()
		b.sendMany("a", 1000, 5)
		b.send(msg("b", "", "0600"), msg("b", "", "0100"))
		time.Sleep(time.Minute)
		require.Len(t, b.letters(outbox.Filter{Field: "vat"}), 501)
		require.Len(t, b.letters(outbox.Filter{Field: "vat", Destination: "a", Code: "422", Class: "invalid", Key: "k1"}), 100)
		require.Len(t, b.letters(outbox.Filter{Field: "phone", Limit: 3}), 3)
		require.Empty(t, b.letters(outbox.Filter{Field: "vat", Code: "500"}))

		n, err := b.queue.Discard(t.Context(), outbox.Filter{Field: "vat", Limit: 2000}, "ana", "test data")
		require.NoError(t, err)
		require.Equal(t, 501, n)
		require.Len(t, b.letters(outbox.Filter{Limit: 2000}), 501, "the others stay")
		require.Empty(t, b.letters(outbox.Filter{Field: "vat"}))
		s.set(nil)
		n, err = b.queue.Replay(t.Context(), outbox.Filter{Field: "phone", Destination: "b"}, "ana")
		require.NoError(t, err)
		require.Equal(t, 1, n)
		done, err := b.queue.ReplayAll(t.Context(), outbox.Filter{Field: "phone"}, outbox.Pace{By: "ana", PerSecond: 1e6})
		require.NoError(t, err)
		require.Equal(t, 500, done.Messages)
		time.Sleep(time.Second)
		require.Len(t, s.ids(), 501)
	})
}

// wide counts the most payload that one answer had.
type wide struct {
	*memstore.Store
	most int
	last int
}

func (w *wide) DeadLetters(ctx context.Context, f outbox.Filter) ([]outbox.DeadLetter, error) {
	list, err := w.Store.DeadLetters(ctx, f)
	bytes := 0
	for _, l := range list {
		bytes += len(l.Payload)
	}
	if w.most = max(w.most, bytes); bytes > 0 {
		w.last = bytes
	}
	return list, err
}

func TestExportWritesEachLetterOnALine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &wide{Store: memstore.New()}
		events := &told{}
		s := &sink{}
		s.set(always(dovetail.Invalid))
		q := queueOn(t, store, events, outbox.Destination{Name: "a", Handler: s})
		defer runQueue(t, q)()
		for i := range 40 {
			m := msg("a", "", fmt.Sprintf("%02d", i))
			m.Topic, m.Headers, m.Payload = "t<1>", map[string]string{"h": "é"}, bytes.Repeat([]byte{0, '\n', 0xff, byte(i)}, 150_000)
			send(t, q, m)
		}
		time.Sleep(time.Minute)
		var out bytes.Buffer
		n, err := q.Export(t.Context(), outbox.Filter{Destination: "a"}, &out)
		require.NoError(t, err)
		require.Equal(t, 40, n)
		require.LessOrEqual(t, store.last, 4<<20, "pages become smaller")
		require.LessOrEqual(t, store.most, 7_000_000, "memory is bounded, whatever the letters carry")
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		require.Len(t, lines, 40)
		var l struct {
			ID, Topic, Class, Error string
			Headers                 map[string]string
			Payload                 []byte
			Attempts                int
			Parked                  time.Time
		}
		require.NoError(t, json.Unmarshal([]byte(lines[39]), &l))
		require.Equal(t, "39", l.ID)
		require.Equal(t, "t<1>", l.Topic)
		require.Equal(t, "é", l.Headers["h"])
		require.Equal(t, bytes.Repeat([]byte{0, '\n', 0xff, 39}, 150_000), l.Payload, "byte by byte")
		require.Equal(t, "invalid", l.Class)
		require.Equal(t, 1, l.Attempts)
		require.False(t, l.Parked.IsZero())
		_, err = q.Export(t.Context(), outbox.Filter{}, full{})
		require.ErrorIs(t, err, errFull)
		for _, e := range events.all() {
			if e.Outcome == "export" {
				require.EqualValues(t, 40, e.Count, "that payloads were read is told")
				return
			}
		}
		require.Fail(t, "the export was not told")
	})
}

type full struct{}

var errFull = errors.New("disk full")

func (full) Write([]byte) (int, error) { return 0, errFull }

// mute is a store without optional parts.
type mute struct{ outbox.Store }

func TestOperationsAreToldToWhoeverAsks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sink{}
		b := newBench(t, nil, outbox.Destination{Name: "a", Handler: s})
		defer b.run()()
		b.bury(s, 3, 0)
		require.NoError(t, b.queue.Pause(t.Context(), "a", "ana", "month-end"))
		require.NoError(t, b.queue.Resume(t.Context(), "a", "ben", "closed"))
		_, err := b.queue.Replay(t.Context(), outbox.Filter{Destination: "a", Limit: 1}, "cyd")
		require.NoError(t, err)
		_, err = b.queue.Discard(t.Context(), outbox.Filter{Destination: "a"}, "dan", "test data")
		require.NoError(t, err)
		ops, err := b.queue.Operations(t.Context(), outbox.OperationFilter{Destination: "a"})
		require.NoError(t, err)
		var got []string
		for _, op := range ops {
			got = append(got, fmt.Sprintf("%s by %s: %s, %d", op.Action, op.Who, op.Why, op.Messages))
		}
		require.Equal(t, []string{"discard by dan: test data, 2", "replay by cyd: , 1", "resume by ben: closed, 0", "pause by ana: month-end, 0"}, got)

		q := queueOn(t, mute{memstore.New()}, &told{})
		_, err = q.Operations(t.Context(), outbox.OperationFilter{})
		require.ErrorIs(t, err, errors.ErrUnsupported)
	})
}
