package sqlstore

import (
	"context"
	"fmt"

	"github.com/tectari/dovetail"
	datasync "github.com/tectari/dovetail/sync"
)

// Write stores everything in c, writing only rows that differ.
func (t *syncTx) Write(ctx context.Context, c datasync.Changes) error {
	if c.Row != nil {
		if err := t.writeRow(ctx, c.Row); err != nil {
			return err
		}
		if err := t.writeRefs(ctx, c); err != nil {
			return err
		}
		if err := t.writeMatches(ctx, c); err != nil {
			return err
		}
		if err := t.writeWaits(ctx, c); err != nil {
			return err
		}
	}
	for _, e := range c.Entries {
		if _, err := t.tx.ExecContext(ctx, t.sql.addHistory, e.Link, e.Key, e.Field, string(e.System), e.Kind, e.Rule, e.Why, e.By, millis(e.At), millis(e.Seen), e.Old, e.New); err != nil {
			return fmt.Errorf("history: %w", err)
		}
	}
	for name, value := range c.Meta {
		query, args := t.sql.putMeta, []any{c.Link, name, value}
		if value == "" {
			query, args = t.sql.delMeta, args[:2]
		}
		if _, err := t.tx.ExecContext(ctx, query, args...); err != nil {
			return fmt.Errorf("meta %q: %w", name, err)
		}
	}
	return nil
}

func (t *syncTx) writeRow(ctx context.Context, r *datasync.Row) error {
	query, args := t.sql.insert, []any{r.Link, r.Key, bit(r.Exists), bit(r.Outstanding), bit(r.Parked), r.Body}
	if r.Seq != 0 {
		query, args = t.sql.update, []any{bit(r.Exists), bit(r.Outstanding), bit(r.Parked), r.Body, r.Link, r.Key, r.Seq}
	}
	return t.one(ctx, query, args, datasync.ErrStale)
}

// one runs a statement that must touch one row, else it returns otherwise.
func (t *syncTx) one(ctx context.Context, query string, args []any, otherwise error) error {
	res, err := t.tx.ExecContext(ctx, query, args...)
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err != nil {
		return err
	}
	if n != 1 {
		return otherwise
	}
	return nil
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (t *syncTx) writeRefs(ctx context.Context, c datasync.Changes) error {
	type place struct {
		system dovetail.System
		id     string
	}
	had := make(map[place]datasync.Ref)
	refs, err := readRefs(ctx, t.tx, c.Row.Link, t.sql.refsOf, c.Row.Link, c.Row.Key)
	if err != nil {
		return fmt.Errorf("refs: %w", err)
	}
	for _, r := range refs {
		had[place{r.System, idOf(r)}] = r
	}
	for _, r := range c.Refs {
		at := place{r.System, idOf(r)}
		old, ok := had[at]
		delete(had, at)
		if ok && old == r {
			continue
		}
		args := []any{r.Link, string(r.System), idOf(r), r.Key, int(r.State), r.Version, int64(r.Shown)} // #nosec G115 -- the same 64 bits
		if err := t.one(ctx, t.sql.putRef, args, fmt.Errorf("%w: %s:%s belongs to another record", datasync.ErrStale, r.System, r.ID)); err != nil {
			return err
		}
	}
	for at := range had {
		if _, err := t.tx.ExecContext(ctx, t.sql.dropRef, c.Row.Link, string(at.system), at.id, c.Row.Key); err != nil {
			return fmt.Errorf("refs: %w", err)
		}
	}
	return nil
}

func idOf(r datasync.Ref) string {
	if r.State == datasync.RefCreating {
		return creatingID(r.Key)
	}
	return r.ID
}

func (t *syncTx) writeMatches(ctx context.Context, c datasync.Changes) error {
	want := make([]pair, 0, len(c.Matches))
	for field, value := range c.Matches {
		want = append(want, pair{field, value})
	}
	return t.replacePairs(ctx, t.sql.matchesOf, c.Row, want,
		func(p pair) (string, []any) { return t.sql.putMatch, []any{c.Row.Link, p.a, p.b, c.Row.Key} },
		func(p pair) (string, []any) { return t.sql.dropMatch, []any{c.Row.Link, p.a, p.b, c.Row.Key} })
}

func (t *syncTx) writeWaits(ctx context.Context, c datasync.Changes) error {
	want := make([]pair, 0, len(c.Waits))
	for _, w := range c.Waits {
		want = append(want, pair{w.ParentLink + "/" + w.ParentKey, string(w.System)})
	}
	return t.replacePairs(ctx, t.sql.waitsOf, c.Row, want,
		func(p pair) (string, []any) { return t.sql.putWait, []any{p.a, p.b, c.Row.Link, c.Row.Key} },
		func(p pair) (string, []any) { return t.sql.dropWait, []any{p.a, p.b, c.Row.Link, c.Row.Key} })
}

type pair struct{ a, b string }

// replacePairs makes the record's rows those of want, touching only what differs.
func (t *syncTx) replacePairs(ctx context.Context, query string, row *datasync.Row, want []pair, put, drop func(pair) (string, []any)) error {
	had := make(map[pair]bool)
	if row.Seq != 0 {
		err := each(ctx, t.tx, query, []any{row.Link, row.Key}, func(scan func(...any) error) error {
			var p pair
			if err := scan(&p.a, &p.b); err != nil {
				return err
			}
			had[p] = true
			return nil
		})
		if err != nil {
			return err
		}
	}
	for _, p := range want {
		if had[p] {
			delete(had, p)
			continue
		}
		q, args := put(p)
		if _, err := t.tx.ExecContext(ctx, q, args...); err != nil {
			return err
		}
	}
	for p := range had {
		q, args := drop(p)
		if _, err := t.tx.ExecContext(ctx, q, args...); err != nil {
			return err
		}
	}
	return nil
}
