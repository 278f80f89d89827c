package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
)

// statements keeps what was prepared: parsing takes longer than most of these
// statements do. Only the statements of a dialect come here, with at most a few
// lengths of lists, so their number is bounded; past the bound they are not kept.
type statements struct {
	mu     sync.RWMutex
	kept   map[string]*sql.Stmt
	wanted map[string]bool // by transactions, which do not prepare
}

const mostStatements = 512

// known returns the prepared statement of query, nil when there is none yet. It is
// then prepared by the next call outside of transactions: to prepare takes a
// connection, and one that waits for it while it holds a transaction may wait for
// another that waits for this transaction.
func (c *statements) known(query string) *sql.Stmt {
	c.mu.RLock()
	stmt, asked := c.kept[query], c.wanted[query] || len(c.kept) >= mostStatements
	c.mu.RUnlock()
	if stmt == nil && !asked {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.wanted == nil {
			c.wanted = make(map[string]bool)
		}
		c.wanted[query] = true
	}
	return stmt
}

// of returns the prepared statement of query, nil when it is not kept. It also
// prepares what transactions have wanted.
func (c *statements) of(ctx context.Context, db *sql.DB, query string) (*sql.Stmt, error) {
	c.mu.RLock()
	stmt, full, wanted := c.kept[query], len(c.kept) >= mostStatements, len(c.wanted)
	c.mu.RUnlock()
	if wanted > 0 {
		c.mu.Lock()
		list := c.wanted
		c.wanted = nil
		c.mu.Unlock()
		for other := range list {
			_, _ = c.prepare(ctx, db, other) //nolint:sqlclosecheck // kept; if it fails, its user sees why when it runs it
		}
	}
	if stmt != nil || full {
		return stmt, nil
	}
	return c.prepare(ctx, db, query)
}

// prepare prepares outside the lock: two may prepare the same one, and one is closed.
func (c *statements) prepare(ctx context.Context, db *sql.DB, query string) (*sql.Stmt, error) {
	stmt, err := db.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if had := c.kept[query]; had != nil {
		_ = stmt.Close() //nolint:sqlclosecheck // it was never used; the one kept stays open
		return had, nil
	}
	if c.kept == nil {
		c.kept = make(map[string]*sql.Stmt)
	}
	c.kept[query] = stmt
	return stmt, nil
}

// A session runs statements, prepared once, in a transaction or outside of any.
type session struct {
	store *Store
	tx    *sql.Tx // nil: outside
}

// in returns the session of a transaction of this database.
func (s *Store) in(tx *sql.Tx) *session { return &session{store: s, tx: tx} }

// read returns the session outside of any transaction.
func (s *Store) read() *session { return &session{store: s} }

// prepared returns the statement, bound to the transaction if there is one; nil
// where it is to be run as it is.
func (x *session) prepared(ctx context.Context, query string) (*sql.Stmt, error) {
	switch {
	case !x.store.dialect.base.prepare:
		return nil, nil
	case x.tx == nil:
		return x.store.statements.of(ctx, x.store.db, query)
	}
	stmt := x.store.statements.known(query)
	if stmt == nil {
		return nil, nil
	}
	return x.tx.StmtContext(ctx, stmt), nil
}

// say checks a statement and lays out its arguments as the driver takes them.
func (x *session) say(query string, args []any) (string, []any, error) {
	if err := x.known(query); err != nil {
		return "", nil, err
	}
	if x.store.dialect.base.positional {
		query, args = positional(query, args)
	}
	return query, args, nil
}

// known returns ErrNoPart for a statement that the dialect does not have.
func (x *session) known(query string) error {
	if query == "" {
		return fmt.Errorf("%w: %s", ErrNoPart, x.store.dialect.Name)
	}
	return nil
}

// ExecContext runs a statement.
func (x *session) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	query, args, err := x.say(query, args)
	if err != nil {
		return nil, err
	}
	stmt, err := x.prepared(ctx, query) //nolint:sqlclosecheck // kept for the store's life
	switch {
	case err != nil:
		return nil, fmt.Errorf("prepare: %w", err)
	case stmt != nil:
		return stmt.ExecContext(ctx, args...)
	case x.tx != nil:
		return x.tx.ExecContext(ctx, query, args...)
	}
	return x.store.db.ExecContext(ctx, query, args...)
}

// QueryContext runs a query.
func (x *session) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	query, args, err := x.say(query, args)
	if err != nil {
		return nil, err
	}
	stmt, err := x.prepared(ctx, query) //nolint:sqlclosecheck // kept for the store's life
	switch {
	case err != nil:
		return nil, fmt.Errorf("prepare: %w", err)
	case stmt != nil:
		return stmt.QueryContext(ctx, args...)
	case x.tx != nil:
		return x.tx.QueryContext(ctx, query, args...)
	}
	return x.store.db.QueryContext(ctx, query, args...)
}

// A row is what a query for one row found. What went wrong is told by Scan.
type row struct {
	*sql.Row
	err error
}

// Scan copies the columns, and returns sql.ErrNoRows where there is no row.
func (r row) Scan(into ...any) error {
	if r.err != nil {
		return r.err
	}
	return r.Row.Scan(into...)
}

// QueryRowContext runs a query for one row.
func (x *session) QueryRowContext(ctx context.Context, query string, args ...any) row {
	query, args, err := x.say(query, args)
	if err != nil {
		return row{err: err}
	}
	stmt, err := x.prepared(ctx, query) //nolint:sqlclosecheck // kept for the store's life
	switch {
	case err == nil && stmt != nil:
		return row{Row: stmt.QueryRowContext(ctx, args...)}
	case x.tx != nil:
		return row{Row: x.tx.QueryRowContext(ctx, query, args...)}
	}
	return row{Row: x.store.db.QueryRowContext(ctx, query, args...)}
}
