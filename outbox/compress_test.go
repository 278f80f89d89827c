package outbox_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/memstore"
)

// stored returns what the store holds for a destination.
func stored(t *testing.T, store outbox.Store, to string) []outbox.Entry {
	t.Helper()
	page, err := store.ReadMessages(t.Context(), outbox.ReadQuery{Wants: []outbox.Want{{Destination: to, Shards: ^uint64(0)}}, Limit: 1000, Bytes: 1 << 30})
	require.NoError(t, err)
	return page.Entries
}

// packing makes a queue that compresses above 1,000 bytes, on store.
func packing(t *testing.T, store outbox.Store, told *told, destinations ...outbox.Destination) *outbox.Queue {
	t.Helper()
	q, err := outbox.New(outbox.Config{Store: store, Destinations: destinations, Alerts: manager(t), Observer: told, CompressAbove: 1000})
	require.NoError(t, err)
	outbox.SetAlerts(q, told)
	return q
}

func TestCompressedPayloadIsGivenAsItWas(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New()
		got := map[string]outbox.Delivery{}
		q := packing(t, store, &told{},
			outbox.Destination{Name: "a", Concurrency: 1, Attempts: 2, Handler: outbox.HandlerFunc(func(_ context.Context, d outbox.Delivery) error {
				got[d.ID] = d
				if d.ID == "dead" {
					return dovetail.NewError(dovetail.Invalid, "write", "no")
				}
				if d.Attempt == 1 { // what it does to its copy is not seen by the next attempt
					clear(d.Headers)
					return dovetail.NewError(dovetail.Transient, "write", "no")
				}
				return nil
			})},
			outbox.Destination{Name: "b", Concurrency: 1, Batch: outbox.BatchHandlerFunc(func(_ context.Context, batch []outbox.Delivery) []error {
				for _, d := range batch {
					got[d.ID] = d
				}
				return outbox.All(batch, nil)
			})},
		)
		noise := make([]byte, 5000)
		_, err := rand.Read(noise)
		require.NoError(t, err)
		text := bytes.Repeat([]byte("two lamps "), 10_000)
		headers := map[string]string{"traceparent": "00-1"}
		cases := map[string]outbox.Message{
			"text":  {To: "a", Payload: text, Headers: headers},
			"bare":  {To: "a", Payload: text},
			"short": {To: "a", Payload: text[:1000], Headers: headers},
			"just":  {To: "a", Payload: text[:1001]},
			"noise": {To: "a", Payload: noise},
			"none":  {To: "a"},
			"dead":  {To: "a", Payload: text, Headers: headers},
			"bulk":  {To: "b", Payload: text, Headers: headers},
			"plain": {To: "b", Payload: []byte("x")},
		}
		for id, m := range cases {
			m.ID = id
			send(t, q, m)
		}
		sizes := map[string]int{}
		for _, e := range append(stored(t, store, "a"), stored(t, store, "b")...) {
			sizes[e.ID] = len(e.Payload)
		}
		require.Less(t, sizes["text"], 2000, "it is stored small")
		require.Less(t, sizes["just"], 1001)
		require.Equal(t, 1000, sizes["short"], "not above")
		require.Equal(t, 5000, sizes["noise"], "what does not become smaller stays as it is")
		require.Len(t, headers, 1, "the caller's headers are left alone")
		stop := runQueue(t, q)
		time.Sleep(time.Minute)
		stop()
		require.Len(t, got, len(cases))
		for id, m := range cases {
			require.True(t, bytes.Equal(m.Payload, got[id].Payload), id)
			require.True(t, maps.Equal(m.Headers, got[id].Headers), "%s: %v", id, got[id].Headers)
		}
		letters, err := q.DeadLetters(t.Context(), outbox.Filter{})
		require.NoError(t, err)
		require.Len(t, letters, 1)
		require.True(t, bytes.Equal(text, letters[0].Payload), "a person sees it as it was, too")
		require.Equal(t, headers, letters[0].Headers)
		letters, err = q.DeadLetters(t.Context(), outbox.Filter{Field: "none"})
		require.NoError(t, err)
		require.Empty(t, letters)
	})
}

func TestMaxBytesIsOfThePayloadAsGiven(t *testing.T) {
	t.Parallel()
	store := memstore.New()
	q := packing(t, store, &told{}, outbox.Destination{Name: "a"})
	err := q.Tx(t.Context(), func(ctx context.Context, tx outbox.Tx) error {
		return q.Enqueue(ctx, tx, outbox.Message{To: "a", Payload: make([]byte, 1<<20+1)})
	})
	require.ErrorIs(t, err, outbox.ErrTooLarge)
	require.ErrorContains(t, err, "1048577 bytes, at most 1048576 (Config.MaxBytes)")
	send(t, q, outbox.Message{To: "a", Payload: make([]byte, 1<<20)})
	require.Less(t, len(stored(t, store, "a")[0].Payload), 10_000)
}

func zip(t *testing.T, payload []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write(payload)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return out.Bytes()
}

func TestDamagedPayloadIsADeadLetterAndNothingElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		good := bytes.Repeat([]byte("two lamps "), 1000)
		packed := zip(t, good)
		flipped := bytes.Clone(packed)
		flipped[len(flipped)/2] ^= 0x55
		sum := bytes.Clone(packed)
		sum[len(sum)-6] ^= 1
		bad := map[string]struct {
			payload []byte
			mark    string
		}{
			"cut":     {packed[:len(packed)-9], "10000"},
			"flipped": {flipped, "10000"},
			"sum":     {sum, "10000"},
			"empty":   {nil, "10000"},
			"text":    {[]byte("{}"), "2"},
			"bomb":    {zip(t, make([]byte, 50<<20)), "10000"},
			"lie":     {packed, "100000000000"},
			"short":   {packed, "10001"},
			"no size": {packed, "many"},
			"less":    {packed, "-1"},
		}
		for name, batch := range map[string]bool{"single": false, "batch": true} {
			store := memstore.New()
			s, events := &bulk{}, &told{}
			d := outbox.Destination{Name: "a", Handler: &s.sink, Poison: outbox.SkipToDead}
			if batch {
				d.Handler, d.Batch = nil, s
			}
			q := queueOn(t, store, events, d)
			var entries []outbox.Entry
			for id, c := range bad {
				entries = append(entries, outbox.Entry{Message: outbox.Message{ID: id, To: "a", Payload: c.payload, Headers: map[string]string{"dovetail-gzip": c.mark}}})
			}
			for i := range 5 { // rows of a version before
				entries = append(entries, outbox.Entry{Message: outbox.Message{ID: fmt.Sprint("old", i), To: "a", Payload: packed, Headers: map[string]string{"h": "1"}}})
			}
			entries = append(entries, outbox.Entry{Message: outbox.Message{ID: "good", To: "a", Payload: packed, Headers: map[string]string{"dovetail-gzip": strconv.Itoa(len(good))}}})
			require.NoError(t, store.Transact(t.Context(), func(ctx context.Context, tx outbox.Tx) error {
				_, err := store.InsertMessages(ctx, tx, entries)
				return err
			}))
			stop := runQueue(t, q)
			time.Sleep(time.Minute)
			require.ElementsMatch(t, []string{"old0", "old1", "old2", "old3", "old4", "good"}, s.ids(), name)
			letters, err := q.DeadLetters(t.Context(), outbox.Filter{Code: "compressed"})
			require.NoError(t, err)
			require.Len(t, letters, len(bad), name)
			for _, l := range letters {
				require.Equal(t, dovetail.Invalid, l.Class)
				require.Contains(t, l.Error, "decompress the payload", l.ID)
				require.True(t, bytes.Equal(bad[l.ID].payload, l.Payload), "as it is stored")
				require.NotContains(t, l.Error, "lamps")
			}
			stop()
		}
	})
}
