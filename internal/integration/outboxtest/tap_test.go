package outboxtest

import (
	"context"
	"database/sql/driver"
	"errors"
	"slices"
	"strings"
	"sync"
)

// A tap sits between database/sql and a driver and lets faults happen to
// statements, whatever the database.
type tap struct {
	mu     sync.Mutex
	faults []*fault
}

// rawConn is a connection of the driver.
type rawConn = driver.Conn

// A fault happens to the statements that contain one of some words.
type fault struct {
	words []string
	// before runs in place of the statement if it returns an error.
	before func(ctx context.Context, raw driver.Conn) error
	// after turns the answer of a statement that was done into an error.
	after func(raw driver.Conn) error
	mu    sync.Mutex
	hits  int
	most  int // 0: no bound
}

// The words of the statements of each part of a store's work, in any dialect.
var (
	reading = []string{
		"dovetail_read(", "FROM dovetail_message m\nWHERE m.id > ", "FROM dovetail_message m FORCE INDEX (PRIMARY)\nWHERE m.id > ",
	}
	settling = []string{"dovetail_done(", "DELETE FROM dovetail_message WHERE id IN", "DELETE m FROM JSON_TABLE"}
	parking  = []string{"dovetail_park(", "INSERT INTO dovetail_parked"}
	renewing = []string{"UPDATE dovetail_relay"}
	writing  = slices.Concat(settling, parking, renewing)
)

// errTapped is what a fault says.
var errTapped = errors.New("the database says no")

// errAnswer is what a lost answer looks like.
var errAnswer = errors.New("the answer of the database is lost")

// on lets a fault happen until it is lifted.
func (t *tap) on(f *fault) (lift func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.faults = append(t.faults, f)
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.faults = slices.DeleteFunc(t.faults, func(o *fault) bool { return o == f })
	}
}

// clear lifts all faults.
func (t *tap) clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.faults = nil
}

// fails makes statements fail without being done.
func fails(most int, words []string) *fault {
	return &fault{words: words, most: most, before: func(context.Context, driver.Conn) error { return errTapped }}
}

// loses makes statements be done and their answer get lost.
func loses(most int, words []string) *fault {
	return &fault{words: words, most: most, after: func(driver.Conn) error { return errAnswer }}
}

// cuts closes the connection before the statement, or after it was done.
func cuts(most int, words []string, after bool) *fault {
	f := &fault{words: words, most: most}
	if after {
		f.after = func(raw driver.Conn) error { return errors.Join(errAnswer, raw.Close()) }
	} else {
		f.before = func(_ context.Context, raw driver.Conn) error { return errors.Join(errTapped, raw.Close()) }
	}
	return f
}

// hangs makes statements wait until free is closed or their time is over.
func hangs(words []string, free <-chan struct{}) *fault {
	return &fault{words: words, before: func(ctx context.Context, _ driver.Conn) error {
		select {
		case <-free:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}}
}

// count returns how many statements the fault happened to.
func (f *fault) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hits
}

// strikes reports whether the fault happens to a query now.
func (f *fault) strikes(query string) bool {
	if !slices.ContainsFunc(f.words, func(w string) bool { return strings.Contains(query, w) }) {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.most > 0 && f.hits >= f.most {
		return false
	}
	f.hits++
	return true
}

// around runs a statement with what happens to it.
func (c *tapConn) around(ctx context.Context, query string, do func() error) error {
	c.tap.mu.Lock()
	faults := slices.Clone(c.tap.faults)
	c.tap.mu.Unlock()
	var after []*fault
	for _, f := range faults {
		if !f.strikes(query) {
			continue
		}
		if f.before != nil {
			if err := f.before(ctx, c.Conn); err != nil {
				return err
			}
		}
		if f.after != nil {
			after = append(after, f)
		}
	}
	if err := do(); err != nil {
		return err
	}
	for _, f := range after {
		if err := f.after(c.Conn); err != nil {
			return err
		}
	}
	return nil
}

type tapConnector struct {
	tap *tap
	driver.Connector
}

// Connect opens a connection with the tap on it.
func (k *tapConnector) Connect(ctx context.Context) (driver.Conn, error) {
	raw, err := k.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &tapConn{raw, k.tap}, nil
}

// tapConn is a connection. It forwards what the three drivers implement.
type tapConn struct {
	driver.Conn
	tap *tap
}

func (c *tapConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	return c.Conn.(driver.ConnBeginTx).BeginTx(ctx, o)
}

func (c *tapConn) Ping(ctx context.Context) error { return c.Conn.(driver.Pinger).Ping(ctx) }

func (c *tapConn) ResetSession(ctx context.Context) error {
	if r, ok := c.Conn.(driver.SessionResetter); ok {
		return r.ResetSession(ctx)
	}
	return nil
}

func (c *tapConn) IsValid() bool {
	v, ok := c.Conn.(driver.Validator)
	return !ok || v.IsValid()
}

func (c *tapConn) CheckNamedValue(v *driver.NamedValue) error {
	if k, ok := c.Conn.(driver.NamedValueChecker); ok {
		return k.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

func (c *tapConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (res driver.Result, err error) {
	err = c.around(ctx, query, func() (err error) {
		res, err = c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
		return err
	})
	return res, err
}

func (c *tapConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (rows driver.Rows, err error) {
	err = c.around(ctx, query, func() (err error) {
		rows, err = c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
		return err
	})
	return unread(rows, err)
}

func (c *tapConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	s, err := c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	return &tapStmt{s, c, query}, nil
}

// tapStmt is a prepared statement.
type tapStmt struct {
	driver.Stmt
	conn  *tapConn
	query string
}

func (s *tapStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (res driver.Result, err error) {
	err = s.conn.around(ctx, s.query, func() (err error) {
		res, err = s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
		return err
	})
	return res, err
}

func (s *tapStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (rows driver.Rows, err error) {
	err = s.conn.around(ctx, s.query, func() (err error) {
		rows, err = s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
		return err
	})
	return unread(rows, err)
}

// unread closes the rows of a query whose answer is lost.
func unread(rows driver.Rows, err error) (driver.Rows, error) {
	if err == nil || rows == nil {
		return rows, err
	}
	return nil, errors.Join(err, rows.Close())
}
