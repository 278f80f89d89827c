package pgxstore

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/outbox"
)

// A BellConfig sets up a Bell.
type BellConfig struct {
	// Pool is where rings go, and whose settings the listening connection has.
	// Required.
	Pool *pgxpool.Pool
	// Channel is the name of the notifications, of at most 63 bytes. Queues on one
	// database that share nothing should have names of their own. Defaults to
	// "dovetail".
	Channel string
}

// A Bell wakes relays by NOTIFY. Make one with NewBell; the zero value is not
// usable. It is safe for concurrent use.
type Bell struct {
	config BellConfig
}

var _ outbox.Bell = (*Bell)(nil)

// NewBell returns a bell, or dovetail.Faults with everything that is wrong with c.
// It does no I/O.
func NewBell(c BellConfig) (*Bell, error) {
	faults := dovetail.Faults{Package: "pgxstore"}
	if c.Pool == nil {
		faults.Add("PGX001", "BellConfig.Pool", "required", "pgxpool.New(ctx, url)")
	}
	if len(c.Channel) > 63 {
		faults.Add("PGX002", "BellConfig.Channel", "longer than 63 bytes, which Postgres would cut", "a shorter name")
	}
	if err := faults.Err(); err != nil {
		return nil, err
	}
	if c.Channel == "" {
		c.Channel = "dovetail"
	}
	return &Bell{config: c}, nil
}

// Ring notifies in a transaction of its own, which writes nothing and so does not
// wait for the disk.
func (b *Bell) Ring(ctx context.Context) error {
	if _, err := b.config.Pool.Exec(ctx, "SELECT pg_notify($1, '')", b.config.Channel); err != nil {
		return fmt.Errorf("pgxstore: notify %s: %w", b.config.Channel, err)
	}
	return nil
}

// Listen listens on a connection of its own until ctx ends or the connection does.
func (b *Bell) Listen(ctx context.Context, rang func()) error {
	conn, err := pgx.ConnectConfig(ctx, b.config.Pool.Config().ConnConfig)
	if err != nil {
		return fmt.Errorf("pgxstore: connect to listen: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // it was only listened on
	if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{b.config.Channel}.Sanitize()); err != nil {
		return fmt.Errorf("pgxstore: listen to %s: %w", b.config.Channel, err)
	}
	for {
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return fmt.Errorf("pgxstore: wait for %s: %w", b.config.Channel, err)
		}
		rang()
	}
}
