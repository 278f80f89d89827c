package outboxtest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/alert"
	"github.com/tectari/dovetail/internal/integration/servers"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/pgxstore"
	"github.com/tectari/dovetail/store/sqlstore"
)

// bellEvents remembers what was told about the bell.
type bellEvents struct {
	mu  sync.Mutex
	why []string
}

func (*bellEvents) Start(ctx context.Context, _ dovetail.Event) context.Context { return ctx }

func (b *bellEvents) Record(_ context.Context, e dovetail.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e.Name == "outbox.bell" {
		b.why = append(b.why, e.Err.Error())
	}
}

func (b *bellEvents) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.why)
}

// TestBellOnPostgres: a message of one process is delivered by another at once,
// also after the listening connection was cut; a relay without the bell polls.
func TestBellOnPostgres(t *testing.T) {
	t.Parallel()
	at := servers.Postgres(t)
	s := sqlstore.New(servers.OpenPostgres(t, at), sqlstore.Postgres)
	require.NoError(t, s.Migrate(t.Context()))
	pool, err := pgxpool.New(t.Context(), at)
	require.NoError(t, err)
	defer pool.Close()
	channel := "bell " + t.Name()
	bell, err := pgxstore.NewBell(pgxstore.BellConfig{Pool: pool, Channel: channel})
	require.NoError(t, err)
	events, b := &bellEvents{}, newBook()
	queue := func(d outbox.Destination) *outbox.Queue {
		alerts, err := alert.New(alert.Config{AllowSilence: true})
		require.NoError(t, err)
		q, err := outbox.New(outbox.Config{
			Store: s, Alerts: alerts, Observer: events, Bell: bell, Destinations: []outbox.Destination{d}, PollMin: 20 * time.Minute, PollMax: 20 * time.Minute,
		})
		require.NoError(t, err)
		return q
	}
	producer := queue(outbox.Destination{Name: "a"})
	defer run(t, queue(outbox.Destination{Name: "a", Handler: b}))()
	listener := func() (pid int) {
		_ = s.DB().QueryRow(`SELECT pid FROM pg_stat_activity WHERE query = 'LISTEN "' || $1 || '"'`, channel).Scan(&pid) // 0 until it listens
		return pid
	}
	send := func(id string, n int) {
		require.NoError(t, producer.Tx(t.Context(), func(ctx context.Context, tx outbox.Tx) error {
			return producer.Enqueue(ctx, tx, outbox.Message{ID: id, To: "a"})
		}))
		require.Eventually(t, func() bool { return b.count() == n }, 10*time.Second, time.Millisecond, "%s was not delivered: only a ring can have told of it", id)
	}
	require.Eventually(t, func() bool { return listener() != 0 }, 10*time.Second, 5*time.Millisecond)
	send("1", 1)
	cut := listener()
	_, err = s.DB().Exec("SELECT pg_terminate_backend($1)", cut)
	require.NoError(t, err)
	require.Eventually(t, func() bool { pid := listener(); return pid != 0 && pid != cut }, 20*time.Second, 5*time.Millisecond, "it listens again")
	send("2", 2)
	require.Equal(t, 1, events.count(), "that it was cut is told: %v", events.why)
}
