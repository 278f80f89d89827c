package memstore

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/outbox"
	datasync "github.com/tectari/dovetail/sync"
)

// syncState is the sync part of a Store.
type syncState struct {
	rows    map[recordKey]datasync.Row
	refs    map[refKey]datasync.Ref
	refsOf  map[recordKey][]datasync.Ref
	matches map[recordKey]map[string]string
	byMatch map[string]map[string]bool // link, field and value → keys
	waits   map[recordKey][]datasync.Wait
	history map[recordKey][]datasync.Entry
	meta    map[recordKey]string
}

type recordKey struct{ link, key string }

type refKey struct {
	link   string
	system dovetail.System
	id     string
}

func newSyncState() syncState {
	return syncState{
		rows: make(map[recordKey]datasync.Row), refs: make(map[refKey]datasync.Ref), refsOf: make(map[recordKey][]datasync.Ref),
		matches: make(map[recordKey]map[string]string), byMatch: make(map[string]map[string]bool),
		waits: make(map[recordKey][]datasync.Wait), history: make(map[recordKey][]datasync.Entry), meta: make(map[recordKey]string),
	}
}

var _ datasync.Store = (*Store)(nil)

// UpdateRecords runs fn in one transaction; see datasync.Store.
func (s *Store) UpdateRecords(ctx context.Context, fn func(tx datasync.Tx) error) error {
	return s.update(ctx, func(tx *Tx) error { return fn(syncTx{tx: tx}) })
}

// view runs fn on the sync part alone.
func view[T any](ctx context.Context, s *Store, fn func(*syncState) T) (out T, err error) {
	if err := s.take(ctx); err != nil {
		return out, err
	}
	defer s.free()
	return fn(&s.sync), nil
}

// LoadRecord reads one record; see datasync.Store.
func (s *Store) LoadRecord(ctx context.Context, link, key string) (datasync.Row, bool, error) {
	row, err := view(ctx, s, func(st *syncState) datasync.Row { return st.rows[recordKey{link, key}] })
	return row, row.Seq != 0, err
}

// RecordRefs looks up remote IDs; see datasync.Store.
func (s *Store) RecordRefs(ctx context.Context, link string, system dovetail.System, ids []string) ([]datasync.Ref, error) {
	return view(ctx, s, func(st *syncState) []datasync.Ref {
		var refs []datasync.Ref
		for _, id := range ids {
			if r, ok := st.refs[refKey{link, system, id}]; ok && r.State != datasync.RefCreating {
				refs = append(refs, r)
			}
		}
		return refs
	})
}

// ScanRecords lists records; see datasync.Store.
func (s *Store) ScanRecords(ctx context.Context, link string, filter datasync.Filter, after string, limit int) ([]datasync.Row, error) {
	return view(ctx, s, func(st *syncState) []datasync.Row {
		var rows []datasync.Row
		for k, r := range st.rows {
			if k.link == link && k.key > after && (filter == datasync.AllRecords || (filter == datasync.Outstanding && r.Outstanding) || (filter == datasync.Parked && r.Parked)) {
				rows = append(rows, r)
			}
		}
		slices.SortFunc(rows, func(a, b datasync.Row) int { return cmp.Compare(a.Key, b.Key) })
		return rows[:min(limit, len(rows))]
	})
}

// RecordRemotes lists linked remote IDs; see datasync.Store.
func (s *Store) RecordRemotes(ctx context.Context, link string, system dovetail.System, after string, limit int) ([]datasync.Ref, error) {
	return view(ctx, s, func(st *syncState) []datasync.Ref {
		var refs []datasync.Ref
		for k, r := range st.refs {
			if k.link == link && k.system == system && r.State == datasync.RefLinked && r.ID > after {
				refs = append(refs, r)
			}
		}
		slices.SortFunc(refs, func(a, b datasync.Ref) int { return cmp.Compare(a.ID, b.ID) })
		return refs[:min(limit, len(refs))]
	})
}

// RecordHistory lists what happened to a record; see datasync.Store.
func (s *Store) RecordHistory(ctx context.Context, link, key, field string, limit int) ([]datasync.Entry, error) {
	return view(ctx, s, func(st *syncState) []datasync.Entry {
		var out []datasync.Entry
		for _, e := range slices.Backward(st.history[recordKey{link, key}]) {
			if len(out) < limit && (field == "" || e.Field == field) {
				out = append(out, e)
			}
		}
		return out
	})
}

// CountRecords counts; see datasync.Store.
func (s *Store) CountRecords(ctx context.Context, link string) (datasync.Counts, error) {
	return view(ctx, s, func(st *syncState) datasync.Counts {
		c := datasync.Counts{Linked: make(map[dovetail.System]int64), Deleting: make(map[dovetail.System]int64)}
		for k, r := range st.rows {
			if k.link != link {
				continue
			}
			c.Records++
			if r.Outstanding {
				c.Outstanding++
			}
			if r.Parked {
				c.Parked++
			}
		}
		for k, r := range st.refs {
			if k.link != link || r.State != datasync.RefLinked {
				continue
			}
			c.Linked[r.System]++
			if !st.rows[recordKey{link, r.Key}].Exists {
				c.Deleting[r.System]++
			}
		}
		return c
	})
}

// syncTx is datasync.Tx over one transaction.
type syncTx struct{ tx *Tx }

func (t syncTx) state() *syncState { return &t.tx.store.sync }

func (t syncTx) Outbox() outbox.Tx { return t.tx }

func (t syncTx) Load(_ context.Context, link, key string) (datasync.Row, bool, error) {
	r, ok := t.state().rows[recordKey{link, key}]
	return r, ok, nil
}

func (t syncTx) Meta(_ context.Context, link, name string) (string, error) {
	return t.state().meta[recordKey{link, name}], nil
}

func (t syncTx) Find(_ context.Context, l datasync.Lookup, limit int) ([]string, error) {
	st := t.state()
	var keys []string
	switch l.By {
	case datasync.ByRemote:
		if r, ok := st.refs[refKey{l.Link, l.System, l.Value}]; ok && r.State != datasync.RefCreating {
			keys = append(keys, r.Key)
		}
	case datasync.ByMatch:
		for key := range st.byMatch[matchKey(l.Link, l.Field, l.Value)] {
			keys = append(keys, key)
		}
	case datasync.ByCreating:
		for k, r := range st.refs {
			if k.link == l.Link && k.system == l.System && r.State == datasync.RefCreating {
				keys = append(keys, r.Key)
			}
		}
	case datasync.ByParent:
		for k, waits := range st.waits {
			if slices.ContainsFunc(waits, func(w datasync.Wait) bool {
				return w.System == l.System && w.ParentLink+"/"+w.ParentKey == l.Value
			}) {
				keys = append(keys, k.link+"/"+k.key)
			}
		}
	default:
		return nil, fmt.Errorf("memstore: unknown lookup %d", l.By)
	}
	slices.Sort(keys)
	return keys[:min(limit, len(keys))], nil
}

func matchKey(link, field, value string) string {
	return strings.Join([]string{link, field, value}, "\x00")
}

func (t syncTx) Write(_ context.Context, c datasync.Changes) error {
	st := t.state()
	if c.Row != nil {
		if err := t.writeRow(c); err != nil {
			return err
		}
	}
	for _, e := range c.Entries {
		// What is appended behind the length that a rollback goes back to is never seen.
		k := recordKey{e.Link, e.Key}
		put(t.tx, st.history, k, append(st.history[k], e))
	}
	for name, value := range c.Meta {
		if value == "" {
			drop(t.tx, st.meta, recordKey{c.Link, name})
			continue
		}
		put(t.tx, st.meta, recordKey{c.Link, name}, value)
	}
	return nil
}

func (t syncTx) writeRow(c datasync.Changes) error {
	st, k := t.state(), recordKey{c.Row.Link, c.Row.Key}
	if st.rows[k].Seq != c.Row.Seq {
		return datasync.ErrStale
	}
	row := *c.Row
	row.Seq++
	row.Body = slices.Clone(row.Body)
	for _, r := range st.refsOf[k] {
		drop(t.tx, st.refs, placeOf(r))
	}
	for _, r := range c.Refs {
		if other, ok := st.refs[placeOf(r)]; ok && other.Key != r.Key {
			return fmt.Errorf("%w: %s:%s belongs to another record", datasync.ErrStale, r.System, r.ID)
		}
		put(t.tx, st.refs, placeOf(r), r)
	}
	put(t.tx, st.rows, k, row)
	put(t.tx, st.refsOf, k, slices.Clone(c.Refs))
	put(t.tx, st.waits, k, slices.Clone(c.Waits))
	if len(c.Waits) == 0 {
		drop(t.tx, st.waits, k)
	}
	for field, value := range st.matches[k] {
		drop(t.tx, st.byMatch[matchKey(k.link, field, value)], k.key)
	}
	for field, value := range c.Matches {
		m := matchKey(k.link, field, value)
		if st.byMatch[m] == nil {
			st.byMatch[m] = make(map[string]bool)
		}
		put(t.tx, st.byMatch[m], k.key, true)
	}
	put(t.tx, st.matches, k, c.Matches)
	return nil
}

func placeOf(r datasync.Ref) refKey {
	if r.State == datasync.RefCreating {
		return refKey{r.Link, r.System, "\x00" + r.Key}
	}
	return refKey{r.Link, r.System, r.ID}
}
