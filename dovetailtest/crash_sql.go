package dovetailtest

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
)

// Connector puts the crasher between the program and a database: use it with
// sql.OpenDB. It forwards every optional interface of the driver.
func (c *Crasher) Connector(inner driver.Connector) driver.Connector {
	return &crashConnector{c: c, inner: inner}
}

type crashConnector struct {
	c     *Crasher
	inner driver.Connector
}

// Connect opens a connection, unless the process is dead.
func (k *crashConnector) Connect(ctx context.Context) (driver.Conn, error) {
	if err := k.c.gate(); err != nil {
		return nil, err
	}
	raw, err := k.inner.Connect(ctx)
	if err != nil {
		return nil, err
	}
	conn := &crashConn{c: k.c, raw: raw, rows: make(map[*crashRows]bool)}
	k.c.mu.Lock()
	dead := k.c.dead
	if !dead {
		k.c.conns[conn] = true
	}
	k.c.mu.Unlock()
	if dead {
		return nil, errors.Join(ErrCrashed, raw.Close())
	}
	return conn, nil
}

// Driver returns the inner driver.
func (k *crashConnector) Driver() driver.Driver { return k.inner.Driver() }

// Close closes the inner connector, where it can be closed.
func (k *crashConnector) Close() error {
	if c, ok := k.inner.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// crashConn is a connection. mu is held during every call of the raw one, so that
// death can close it from outside.
type crashConn struct {
	c   *Crasher
	raw driver.Conn

	mu     sync.Mutex
	closed bool
	tx     *crashTx
	rows   map[*crashRows]bool
}

// do runs f on the raw connection.
func (k *crashConn) do(f func() error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return ErrCrashed
	}
	return f()
}

func (k *crashConn) cut() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.shut()
}

func (k *crashConn) tryCut() bool {
	if !k.mu.TryLock() {
		return false
	}
	defer k.mu.Unlock()
	k.shut()
	return true
}

// shut does what the server does when a client is gone. Its errors have nobody
// to go to: the process is dead.
func (k *crashConn) shut() {
	if k.closed {
		return
	}
	k.closed = true
	for r := range k.rows {
		_ = r.raw.Close()
	}
	if k.tx != nil {
		_ = k.tx.raw.Rollback()
		k.tx.end()
	}
	_ = k.raw.Close()
}

// Close closes the connection.
func (k *crashConn) Close() error {
	k.c.mu.Lock()
	delete(k.c.conns, k)
	k.c.mu.Unlock()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return nil
	}
	k.closed = true
	return k.raw.Close()
}

// Unwrap returns the driver's own connection.
func (k *crashConn) Unwrap() driver.Conn { return k.raw }

// Begin begins a transaction.
func (k *crashConn) Begin() (driver.Tx, error) {
	return k.BeginTx(context.Background(), driver.TxOptions{})
}

// BeginTx begins a transaction, with the driver's options where it knows them.
func (k *crashConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	label := "begin " + k.c.caller()
	if err := k.c.gate(); err != nil {
		return nil, err
	}
	if err := k.c.at(label, k.c.count(label), false); err != nil {
		return nil, err
	}
	k.c.opened(1)
	t := &crashTx{conn: k}
	err := k.do(func() (err error) {
		if b, ok := k.raw.(driver.ConnBeginTx); ok {
			t.raw, err = b.BeginTx(ctx, opts)
		} else {
			t.raw, err = k.raw.Begin() //nolint:staticcheck // the only way such a driver has
		}
		if err == nil {
			k.tx = t
		}
		return err
	})
	if err != nil {
		k.c.opened(-1)
		return nil, err
	}
	return t, nil
}

// crashTx is a transaction; wrote says whether its commit is an effect.
type crashTx struct {
	conn  *crashConn
	raw   driver.Tx
	wrote bool
	ended bool
}

// end notes that the transaction is over; the caller holds conn.mu.
func (t *crashTx) end() {
	if !t.ended {
		t.ended = true
		t.conn.tx = nil
		t.conn.c.opened(-1)
	}
}

// Commit commits; it is an effect where the transaction wrote.
func (t *crashTx) Commit() error {
	c, label, nth := t.conn.c, "", 0
	if t.wrote {
		label = "commit " + c.caller()
		nth = c.count(label)
		if err := c.at(label, nth, false); err != nil {
			return errors.Join(err, t.Rollback())
		}
	}
	err := t.conn.do(func() error {
		defer t.end()
		return t.raw.Commit()
	})
	if err == nil && t.wrote {
		err = c.at(label, nth, true)
	}
	return err
}

// Rollback rolls back.
func (t *crashTx) Rollback() error {
	return t.conn.do(func() error {
		defer t.end()
		return t.raw.Rollback()
	})
}

// writes reports whether a statement changes anything.
func writes(query string) bool {
	word, _, _ := strings.Cut(strings.TrimSpace(query), " ")
	switch strings.ToUpper(strings.TrimSpace(word)) {
	case "SELECT", "PRAGMA", "SHOW", "EXPLAIN", "VALUES", "SAVEPOINT", "RELEASE", "ROLLBACK":
		return false
	case "WITH":
		upper := strings.ToUpper(query)
		return strings.Contains(upper, "INSERT ") || strings.Contains(upper, "UPDATE ") || strings.Contains(upper, "DELETE ")
	default:
		return true
	}
}

// exec runs a statement: an effect of its own outside a transaction.
func (k *crashConn) exec(query string, f func() (driver.Result, error)) (res driver.Result, err error) {
	run := func() (err error) { res, err = f(); return err }
	k.mu.Lock()
	inside := k.tx != nil
	if inside && writes(query) {
		k.tx.wrote = true
	}
	k.mu.Unlock()
	if inside || !writes(query) {
		return res, k.do(run)
	}
	if err := k.c.gate(); err != nil {
		return nil, err
	}
	label := "exec " + k.c.caller()
	nth := k.c.count(label)
	if err := k.c.at(label, nth, false); err != nil {
		return nil, err
	}
	if err := k.do(run); err != nil {
		return nil, err
	}
	if err := k.c.at(label, nth, true); err != nil {
		return nil, err
	}
	return res, nil
}

// query runs a query: a point where a read may fail, and an effect where it
// writes outside a transaction (RETURNING), whose end is the end of its rows.
func (k *crashConn) query(query string, f func() (driver.Rows, error)) (driver.Rows, error) {
	k.mu.Lock()
	inside := k.tx != nil
	if inside && writes(query) {
		k.tx.wrote = true
	}
	k.mu.Unlock()
	r := &crashRows{conn: k}
	if effect := writes(query) && !inside; effect || !writes(query) {
		kind := "query "
		if effect {
			kind = "exec "
		}
		if !inside {
			if err := k.c.gate(); err != nil {
				return nil, err
			}
		}
		label := kind + k.c.caller()
		nth := k.c.count(label)
		if inside {
			if err := k.c.strikeRead(label, nth); err != nil {
				return nil, err
			}
		} else if err := k.c.at(label, nth, false); err != nil {
			return nil, err
		}
		if effect {
			r.after = func() error { return k.c.at(label, nth, true) }
		}
	}
	err := k.do(func() (err error) {
		if r.raw, err = f(); err == nil {
			k.rows[r] = true
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// strikeRead refuses a read inside a transaction, which no pause holds.
func (c *Crasher) strikeRead(label string, nth int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.config.Strike
	switch {
	case c.dead:
		return ErrCrashed
	case !c.struck && s.Label == label && s.Nth == nth && s.Fault == FailBefore:
		c.struck = true
		return fmt.Errorf("%w: %s", ErrStruck, s)
	}
	return nil
}

// ExecContext runs a statement, or says driver.ErrSkip where the driver does.
func (k *crashConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	e, ok := k.raw.(driver.ExecerContext)
	if !ok {
		return nil, driver.ErrSkip
	}
	return k.exec(query, func() (driver.Result, error) { return e.ExecContext(ctx, query, args) })
}

// QueryContext runs a query, or says driver.ErrSkip where the driver does.
func (k *crashConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	q, ok := k.raw.(driver.QueryerContext)
	if !ok {
		return nil, driver.ErrSkip
	}
	return k.query(query, func() (driver.Rows, error) { return q.QueryContext(ctx, query, args) })
}

// Prepare prepares a statement.
func (k *crashConn) Prepare(query string) (driver.Stmt, error) {
	return k.PrepareContext(context.Background(), query)
}

// PrepareContext prepares a statement.
func (k *crashConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	s := &crashStmt{conn: k, query: query}
	err := k.do(func() (err error) {
		if p, ok := k.raw.(driver.ConnPrepareContext); ok {
			s.raw, err = p.PrepareContext(ctx, query)
		} else {
			s.raw, err = k.raw.Prepare(query)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Ping pings, where the driver can.
func (k *crashConn) Ping(ctx context.Context) error {
	return k.do(func() error {
		if p, ok := k.raw.(driver.Pinger); ok {
			return p.Ping(ctx)
		}
		return nil
	})
}

// ResetSession resets, where the driver can.
func (k *crashConn) ResetSession(ctx context.Context) error {
	return k.do(func() error {
		if r, ok := k.raw.(driver.SessionResetter); ok {
			return r.ResetSession(ctx)
		}
		return nil
	})
}

// IsValid reports whether the connection may be used again.
func (k *crashConn) IsValid() bool {
	return k.do(func() error {
		if v, ok := k.raw.(driver.Validator); ok && !v.IsValid() {
			return driver.ErrBadConn
		}
		return nil
	}) == nil
}

// CheckNamedValue leaves values to the driver, where it wants them.
func (k *crashConn) CheckNamedValue(v *driver.NamedValue) error {
	if n, ok := k.raw.(driver.NamedValueChecker); ok {
		return n.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

var (
	_ io.Closer                 = (*crashConnector)(nil)
	_ driver.ConnBeginTx        = (*crashConn)(nil)
	_ driver.ExecerContext      = (*crashConn)(nil)
	_ driver.QueryerContext     = (*crashConn)(nil)
	_ driver.ConnPrepareContext = (*crashConn)(nil)
	_ driver.Pinger             = (*crashConn)(nil)
	_ driver.SessionResetter    = (*crashConn)(nil)
	_ driver.Validator          = (*crashConn)(nil)
	_ driver.NamedValueChecker  = (*crashConn)(nil)
)
