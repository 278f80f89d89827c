package outbox_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/memstore"
)

func TestNewNamesEveryFault(t *testing.T) {
	t.Parallel()
	_, err := outbox.New(outbox.Config{
		Lease: time.Millisecond, PollMin: -1, MaxBytes: -1, CompressAbove: -1,
		Destinations: []outbox.Destination{
			{},
			{Name: "a", Order: 9, Poison: 9, Attempts: -1, Backoff: outbox.Backoff{Base: 2, Cap: 1}},
			{Name: "a", Order: outbox.Serial, Poison: outbox.LatestWins, Concurrency: 3},
			{Name: "b", BatchSize: 3, Rate: -1},
			{Name: "d", Burst: 3},
			{Name: "c", Order: outbox.Serial, Batch: &bulk{}, Handler: &sink{}},
		},
	})
	var faults *dovetail.Faults
	require.ErrorAs(t, err, &faults)
	codes := map[string]bool{}
	for _, f := range faults.List {
		codes[f.Code] = true
		require.NotEmpty(t, f.Fix)
	}
	for _, code := range []string{"OUT001", "OUT002", "OUT003", "OUT004", "OUT005", "OUT006", "OUT007", "OUT008", "OUT009", "OUT010", "OUT011", "OUT012", "OUT013", "OUT014", "OUT015", "OUT016", "OUT017", "OUT018", "OUT019"} {
		require.True(t, codes[code], "%s in %v", code, err)
	}
	require.ErrorContains(t, err, "alerts would reach nobody")
}

func TestEnqueueRefusesBeforeItStores(t *testing.T) {
	t.Parallel()
	store := memstore.New()
	q := queueOn(t, store, &told{}, outbox.Destination{Name: "a"})
	other, err := memstore.New().Begin(t.Context())
	require.NoError(t, err)
	tx, err := store.Begin(t.Context())
	require.NoError(t, err)
	for name, c := range map[string]struct {
		tx   outbox.Tx
		msg  outbox.Message
		want error
	}{
		"unknown":  {tx, outbox.Message{To: "z"}, outbox.ErrUnknownDestination},
		"large":    {tx, outbox.Message{To: "a", Payload: make([]byte, 1<<20+1)}, outbox.ErrTooLarge},
		"headers":  {tx, outbox.Message{To: "a", Headers: map[string]string{"x": string(make([]byte, 1<<20))}}, outbox.ErrTooLarge},
		"reserved": {tx, outbox.Message{To: "a", Headers: map[string]string{"Dovetail-GZIP": "7"}}, outbox.ErrInvalidMessage},
		"nul":      {tx, outbox.Message{To: "a", Key: "a\x00b"}, outbox.ErrInvalidMessage},
		"utf-8":    {tx, outbox.Message{To: "a", Topic: "\xff"}, outbox.ErrInvalidMessage},
		"no tx":    {nil, outbox.Message{To: "a"}, outbox.ErrForeignTx},
		"other tx": {other, outbox.Message{To: "a"}, outbox.ErrForeignTx},
	} {
		require.ErrorIs(t, q.Enqueue(t.Context(), c.tx, outbox.Message{To: "a"}, c.msg), c.want, name)
	}
	require.NoError(t, tx.Commit())
	page, err := store.ReadMessages(t.Context(), outbox.ReadQuery{Wants: []outbox.Want{{Destination: "a", Shards: ^uint64(0)}}, Limit: 10, Bytes: 1 << 20})
	require.NoError(t, err)
	require.Empty(t, page.Entries)
}

func TestAddBelongsBeforeRun(t *testing.T) {
	t.Parallel()
	q := queueOn(t, memstore.New(), &told{})
	require.NoError(t, q.Add(outbox.Destination{Name: "a"}))
	require.ErrorContains(t, q.Add(outbox.Destination{Name: "a"}), "OUT004")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- q.Run(ctx) }()
	require.Eventually(t, func() bool {
		return errors.Is(q.Add(outbox.Destination{Name: "b"}), outbox.ErrRunning)
	}, time.Second, time.Millisecond)
	require.ErrorIs(t, q.Add(outbox.Destination{Name: "c"}), outbox.ErrRunning)
	require.ErrorIs(t, q.Run(ctx), outbox.ErrRunning)
	cancel()
	require.NoError(t, <-ended)
}
