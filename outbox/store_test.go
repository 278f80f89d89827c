package outbox_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/memstore"
)

// A deaf store lets a relay read but not write, once dead is set: what a process
// that was killed looks like from the database.
type deaf struct {
	*memstore.Store
	dead atomic.Bool
}

var errDead = errors.New("connection lost")

func (d *deaf) SettleMessages(ctx context.Context, s outbox.Settlement) (outbox.Settled, error) {
	if d.dead.Load() {
		return outbox.Settled{}, errDead
	}
	return d.Store.SettleMessages(ctx, s)
}

func (d *deaf) LeaseShards(ctx context.Context, r outbox.LeaseRequest) (outbox.Lease, error) {
	if d.dead.Load() {
		return outbox.Lease{}, errDead
	}
	return d.Store.LeaseShards(ctx, r)
}

// A fullDisk takes leases and nothing else, while full is set: a disk without
// room for the acknowledgements.
type fullDisk struct {
	*memstore.Store
	full atomic.Bool
}

func (f *fullDisk) SettleMessages(ctx context.Context, s outbox.Settlement) (outbox.Settled, error) {
	if f.full.Load() {
		return outbox.Settled{}, errors.New("no space left on device")
	}
	return f.Store.SettleMessages(ctx, s)
}

// A sulky store does not answer who asks how it stands, while mute is set.
type sulky struct {
	*memstore.Store
	mute atomic.Bool
}

func (m *sulky) QueueStatus(ctx context.Context, limit int) ([]outbox.Status, error) {
	if m.mute.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return m.Store.QueueStatus(ctx, limit)
}

func queueOn(t *testing.T, store outbox.Store, told *told, destinations ...outbox.Destination) *outbox.Queue {
	t.Helper()
	q, err := outbox.New(outbox.Config{Store: store, Destinations: destinations, Alerts: manager(t), Observer: told})
	require.NoError(t, err)
	outbox.SetAlerts(q, told)
	return q
}

func send(t *testing.T, q *outbox.Queue, msgs ...outbox.Message) {
	t.Helper()
	err := q.Tx(t.Context(), func(ctx context.Context, tx outbox.Tx) error { return q.Enqueue(ctx, tx, msgs...) })
	require.NoError(t, err)
}
