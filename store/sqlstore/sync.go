package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/outbox"
	datasync "github.com/tectari/dovetail/sync"
)

// syncSQL is what a dialect says for the sync part.
type syncSQL struct {
	load, insert, update                       string
	refsOf, putRef, dropRef, refsByID, remotes string
	matchesOf, putMatch, dropMatch             string
	waitsOf, putWait, dropWait                 string
	byRemote, byMatch, byCreating, byParent    string
	scanAll, scanOutstanding, scanParked       string
	addHistory, history                        string
	meta, putMeta, delMeta                     string
	countRecords, countRefs                    string
}

var _ datasync.Store = (*Store)(nil)

// UpdateRecords runs fn in one transaction; see datasync.Store.
func (s *Store) UpdateRecords(ctx context.Context, fn func(tx datasync.Tx) error) error {
	return s.update(ctx, func(tx *session) error { return fn(&syncTx{tx: tx, sql: &s.dialect.sync}) })
}

// LoadRecord reads one record; see datasync.Store.
func (s *Store) LoadRecord(ctx context.Context, link, key string) (datasync.Row, bool, error) {
	if err := s.ready(); err != nil {
		return datasync.Row{}, false, err
	}
	return loadRecord(ctx, s.read(), s.dialect.sync.load, link, key)
}

// rowQueryer runs a query for one row.
type rowQueryer interface {
	QueryRowContext(ctx context.Context, query string, args ...any) row
}

func loadRecord(ctx context.Context, q rowQueryer, query, link, key string) (datasync.Row, bool, error) {
	r := datasync.Row{Link: link, Key: key}
	err := q.QueryRowContext(ctx, query, link, key).Scan(&r.Seq, &r.Exists, &r.Outstanding, &r.Parked, &r.Body)
	if errors.Is(err, sql.ErrNoRows) {
		return datasync.Row{}, false, nil
	}
	return r, err == nil, err
}

// RecordRefs looks up remote IDs; see datasync.Store.
func (s *Store) RecordRefs(ctx context.Context, link string, system dovetail.System, ids []string) ([]datasync.Ref, error) {
	if err := s.ready(); err != nil {
		return nil, err
	}
	const most = 500 // parameters of one statement
	var all []datasync.Ref
	for len(ids) > 0 {
		n := min(len(ids), most)
		args := make([]any, 0, n+2)
		args = append(args, link, string(system))
		for _, id := range ids[:n] {
			args = append(args, id)
		}
		refs, err := readRefs(ctx, s.read(), link, s.dialect.sync.refsByID+s.dialect.base.placeholders(3, n)+")", args...)
		if err != nil {
			return nil, err
		}
		all = append(all, refs...)
		ids = ids[n:]
	}
	return all, nil
}

// creatingID is the ID of the row of a create under way.
func creatingID(key string) string { return "\x00" + key }

func readRefs(ctx context.Context, q queryer, link, query string, args ...any) ([]datasync.Ref, error) {
	var refs []datasync.Ref
	err := each(ctx, q, query, args, func(scan func(...any) error) error {
		r := datasync.Ref{Link: link}
		var shown int64
		if err := scan(&r.System, &r.ID, &r.Key, &r.State, &r.Version, &shown); err != nil {
			return err
		}
		r.Shown = uint64(shown) // #nosec G115 -- stored as the same 64 bits
		if r.State == datasync.RefCreating {
			r.ID = ""
		}
		refs = append(refs, r)
		return nil
	})
	return refs, err
}

// ScanRecords lists records; see datasync.Store.
func (s *Store) ScanRecords(ctx context.Context, link string, filter datasync.Filter, after string, limit int) ([]datasync.Row, error) {
	if err := s.ready(); err != nil {
		return nil, err
	}
	query := s.dialect.sync.scanAll
	switch filter {
	case datasync.Outstanding:
		query = s.dialect.sync.scanOutstanding
	case datasync.Parked:
		query = s.dialect.sync.scanParked
	}
	var all []datasync.Row
	err := each(ctx, s.read(), query, []any{link, after, limit}, func(scan func(...any) error) error {
		r := datasync.Row{Link: link}
		if err := scan(&r.Key, &r.Seq, &r.Exists, &r.Outstanding, &r.Parked, &r.Body); err != nil {
			return err
		}
		all = append(all, r)
		return nil
	})
	return all, err
}

// RecordRemotes lists linked remote IDs; see datasync.Store.
func (s *Store) RecordRemotes(ctx context.Context, link string, system dovetail.System, after string, limit int) ([]datasync.Ref, error) {
	if err := s.ready(); err != nil {
		return nil, err
	}
	return readRefs(ctx, s.read(), link, s.dialect.sync.remotes, link, string(system), after, limit)
}

// RecordHistory lists what happened to a record; see datasync.Store.
func (s *Store) RecordHistory(ctx context.Context, link, key, field string, limit int) ([]datasync.Entry, error) {
	if err := s.ready(); err != nil {
		return nil, err
	}
	var all []datasync.Entry
	err := each(ctx, s.read(), s.dialect.sync.history, []any{link, key, field, field, limit}, func(scan func(...any) error) error {
		e := datasync.Entry{Link: link, Key: key}
		var at, seen int64
		if err := scan(&e.Field, &e.System, &e.Kind, &e.Rule, &e.Why, &e.By, &at, &seen, &e.Old, &e.New); err != nil {
			return err
		}
		e.At, e.Seen = fromMillis(at), fromMillis(seen)
		all = append(all, e)
		return nil
	})
	return all, err
}

// CountRecords counts; see datasync.Store.
func (s *Store) CountRecords(ctx context.Context, link string) (datasync.Counts, error) {
	c := datasync.Counts{Linked: make(map[dovetail.System]int64), Deleting: make(map[dovetail.System]int64)}
	if err := s.ready(); err != nil {
		return c, err
	}
	if err := s.read().QueryRowContext(ctx, s.dialect.sync.countRecords, link).Scan(&c.Records, &c.Outstanding, &c.Parked); err != nil {
		return c, err
	}
	err := each(ctx, s.read(), s.dialect.sync.countRefs, []any{link}, func(scan func(...any) error) error {
		var system dovetail.System
		var here, deleting int64
		if err := scan(&system, &here, &deleting); err != nil {
			return err
		}
		c.Linked[system], c.Deleting[system] = here, deleting
		return nil
	})
	return c, err
}

// syncTx is datasync.Tx over one SQL transaction.
type syncTx struct {
	tx  *session
	sql *syncSQL
}

func (t *syncTx) Outbox() outbox.Tx { return t.tx.tx }

func (t *syncTx) Load(ctx context.Context, link, key string) (datasync.Row, bool, error) {
	return loadRecord(ctx, t.tx, t.sql.load, link, key)
}

func (t *syncTx) Find(ctx context.Context, l datasync.Lookup, limit int) ([]string, error) {
	var query string
	var args []any
	switch l.By {
	case datasync.ByRemote:
		query, args = t.sql.byRemote, []any{l.Link, string(l.System), l.Value, limit}
	case datasync.ByMatch:
		query, args = t.sql.byMatch, []any{l.Link, l.Field, l.Value, limit}
	case datasync.ByCreating:
		query, args = t.sql.byCreating, []any{l.Link, string(l.System), limit}
	case datasync.ByParent:
		query, args = t.sql.byParent, []any{l.Value, string(l.System), limit}
	default:
		return nil, fmt.Errorf("sqlstore: unknown lookup %d", l.By)
	}
	var keys []string
	err := each(ctx, t.tx, query, args, func(scan func(...any) error) error {
		var key string
		if err := scan(&key); err != nil {
			return err
		}
		keys = append(keys, key)
		return nil
	})
	return keys, err
}

func (t *syncTx) Meta(ctx context.Context, link, name string) (string, error) {
	var value string
	err := t.tx.QueryRowContext(ctx, t.sql.meta, link, name).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return value, err
}
