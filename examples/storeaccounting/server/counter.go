package server

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
)

// Count adds n to a counter. It reaches the file with the next Flush.
func (d *Database) Count(name string, n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.counters[name] += n
	d.changed[name] = true
}

// Counters returns all counters as they are now, those of earlier runs
// included.
func (d *Database) Counters() map[string]int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.counters)
}

// Flush writes the counters that moved. A kill loses at most what was counted
// since the last one.
func (d *Database) Flush(ctx context.Context) error {
	d.mu.Lock()
	moved := make(map[string]int64, len(d.changed))
	for name := range d.changed {
		moved[name] = d.counters[name]
	}
	clear(d.changed)
	d.mu.Unlock()
	if len(moved) == 0 {
		return nil
	}
	err := d.Tx(ctx, func(tx *sql.Tx) error {
		for name, n := range moved {
			const upsert = `INSERT INTO counters (name, n) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET n = excluded.n`
			if _, err := tx.ExecContext(ctx, upsert, name, n); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("write counters: %w", err)
	}
	return nil
}

func (d *Database) loadCounters(ctx context.Context) error {
	rows, err := d.QueryContext(ctx, `SELECT name, n FROM counters`)
	if err != nil {
		return fmt.Errorf("read counters: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		var n int64
		if err := rows.Scan(&name, &n); err != nil {
			return fmt.Errorf("read counters: %w", err)
		}
		d.counters[name] = n
	}
	return rows.Err()
}
