package dovetailtest

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/alert"
	"github.com/tectari/dovetail/outbox"
	datasync "github.com/tectari/dovetail/sync"
)

// RunSyncStore checks that a store keeps the contract of datasync.Store. open
// returns an empty store for each case. Where the store is an outbox.Store too,
// as it must be for a link, state and messages are checked to commit together.
func RunSyncStore(t *testing.T, open func(t *testing.T) datasync.Store) {
	t.Helper()
	for _, c := range []struct {
		name string
		run  func(t *testing.T, s datasync.Store)
	}{
		{"Write and load", syncWriteLoad},
		{"A stale writer is refused", syncStale},
		{"Two writers, one wins", syncRace},
		{"Nothing remains of a failed transaction", syncFailed},
		{"A remote ID belongs to one record", syncOneRecord},
		{"Refs, matches and waits are replaced", syncReplaced},
		{"A lookup finds by remote ID, alias too", syncByRemote},
		{"A lookup finds by match, in key order and limited", syncByMatch},
		{"A lookup finds creates under way", syncByCreating},
		{"A lookup finds who waits for a parent", syncByParent},
		{"RecordRefs knows linked IDs and aliases", syncRecordRefs},
		{"ScanRecords pages in byte order", syncScan},
		{"RecordRemotes pages in byte order", syncRemotes},
		{"History is newest first", syncHistory},
		{"Meta is set and removed", syncMeta},
		{"CountRecords counts", syncCounts},
		{"Links are kept apart", syncLinksApart},
		{"A body is the store's own", syncBody},
		{"State and message commit together or not at all", syncOutbox},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, open(t))
		})
	}
}

const crm, billing = dovetail.System("crm"), dovetail.System("billing")

// syncWrite writes one set of changes in a transaction of its own.
func syncWrite(t *testing.T, s datasync.Store, c datasync.Changes) {
	t.Helper()
	if err := tryWrite(t, s, c); err != nil {
		t.Fatalf("UpdateRecords, Write: %v", err)
	}
}

func tryWrite(t *testing.T, s datasync.Store, c datasync.Changes) error {
	t.Helper()
	return s.UpdateRecords(t.Context(), func(tx datasync.Tx) error { return tx.Write(t.Context(), c) })
}

func syncRow(key string, seq int64, body string) *datasync.Row {
	return &datasync.Row{Link: "people", Key: key, Seq: seq, Exists: true, Body: []byte(body)}
}

func linkedRef(system dovetail.System, id, key string) datasync.Ref {
	return datasync.Ref{Link: "people", System: system, ID: id, Key: key, State: datasync.RefLinked, Version: "v-" + id, Shown: 1<<63 + 7}
}

func syncWriteLoad(t *testing.T, s datasync.Store) {
	if _, ok, err := s.LoadRecord(t.Context(), "people", "k1"); ok || err != nil {
		t.Fatalf("LoadRecord of nothing = %v, %v; want false and no error", ok, err)
	}
	syncWrite(t, s, datasync.Changes{})
	row := syncRow("k1", 0, "one\x00two")
	row.Outstanding, row.Parked = true, true
	syncWrite(t, s, datasync.Changes{Row: row})
	row = syncRow("k1", 1, "three")
	row.Exists = false
	syncWrite(t, s, datasync.Changes{Row: row})
	for _, where := range []string{"LoadRecord", "Tx.Load"} {
		got, ok, err := s.LoadRecord(t.Context(), "people", "k1")
		if where == "Tx.Load" {
			err = s.UpdateRecords(t.Context(), func(tx datasync.Tx) (err error) {
				got, ok, err = tx.Load(t.Context(), "people", "k1")
				return err
			})
		}
		if err != nil || !ok || got.Link != "people" || got.Key != "k1" || got.Seq != 2 || got.Exists || got.Outstanding || got.Parked || string(got.Body) != "three" {
			t.Errorf("%s = %+v, %v, %v; want what the second Write stored, at Seq 2: each Write adds one", where, got, ok, err)
		}
	}
}

func syncStale(t *testing.T, s datasync.Store) {
	syncWrite(t, s, datasync.Changes{Row: syncRow("k1", 0, "one")})
	for _, seq := range []int64{0, 2, 7} {
		if err := tryWrite(t, s, datasync.Changes{Row: syncRow("k1", seq, "x")}); !errors.Is(err, datasync.ErrStale) {
			t.Errorf("Write over Seq 1 with Seq %d: %v; want ErrStale: what another writer decided would be lost", seq, err)
		}
	}
	if err := tryWrite(t, s, datasync.Changes{Row: syncRow("k2", 1, "x")}); !errors.Is(err, datasync.ErrStale) {
		t.Errorf("Write of a record that is not there, with Seq 1: %v; want ErrStale", err)
	}
	if got, _, err := s.LoadRecord(t.Context(), "people", "k1"); err != nil || string(got.Body) != "one" || got.Seq != 1 {
		t.Errorf("a refused write left %+v, %v", got, err)
	}
}

func syncRace(t *testing.T, s datasync.Store) {
	const writers = 8
	syncWrite(t, s, datasync.Changes{Row: syncRow("k1", 0, "start")})
	errs := make([]error, writers)
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() { errs[i] = tryWrite(t, s, datasync.Changes{Row: syncRow("k1", 1, fmt.Sprint(i))}) })
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		switch {
		case err == nil:
			won++
		case !errors.Is(err, datasync.ErrStale):
			t.Errorf("Write: %v; want nil or ErrStale", err)
		}
	}
	if won != 1 {
		t.Errorf("%d of %d writers of one version succeeded; want 1", won, writers)
	}
}

func syncFailed(t *testing.T, s datasync.Store) {
	before := datasync.Changes{Row: syncRow("k1", 0, "one"), Refs: []datasync.Ref{linkedRef(crm, "c1", "k1")}, Matches: map[string]string{"email": "a@x"}, Link: "people", Meta: map[string]string{"cursor": "5"}}
	syncWrite(t, s, before)
	boom := errors.New("boom")
	err := s.UpdateRecords(t.Context(), func(tx datasync.Tx) error {
		c := datasync.Changes{
			Row: syncRow("k1", 1, "two"), Refs: []datasync.Ref{linkedRef(crm, "c2", "k1")}, Matches: map[string]string{"email": "b@x"},
			Waits:   []datasync.Wait{{ParentLink: "firms", ParentKey: "f1", System: crm}},
			Entries: []datasync.Entry{{Link: "people", Key: "k1", Kind: "moved"}}, Link: "people", Meta: map[string]string{"cursor": "6", "new": "1"},
		}
		if err := tx.Write(t.Context(), c); err != nil {
			t.Errorf("Write: %v", err)
		}
		if err := tx.Write(t.Context(), datasync.Changes{Row: syncRow("k2", 0, "x")}); err != nil {
			t.Errorf("Write: %v", err)
		}
		return boom
	})
	if !errors.Is(err, boom) {
		t.Errorf("UpdateRecords = %v; want the error of its fn", err)
	}
	if r, _, err := s.LoadRecord(t.Context(), "people", "k1"); err != nil || string(r.Body) != "one" || r.Seq != 1 {
		t.Errorf("after a failed transaction the record is %+v, %v", r, err)
	}
	if _, ok, _ := s.LoadRecord(t.Context(), "people", "k2"); ok {
		t.Error("a failed transaction left a new record")
	}
	wantKeys(t, find(t, s, datasync.Lookup{Link: "people", By: datasync.ByRemote, System: crm, Value: "c1"}, 2), "[k1]", "a failed transaction removed a remote ID")
	wantKeys(t, find(t, s, datasync.Lookup{Link: "people", By: datasync.ByRemote, System: crm, Value: "c2"}, 2), "[]", "a failed transaction left a remote ID")
	wantKeys(t, find(t, s, datasync.Lookup{Link: "people", By: datasync.ByMatch, Field: "email", Value: "a@x"}, 2), "[k1]", "a failed transaction removed a match")
	wantKeys(t, find(t, s, datasync.Lookup{Link: "people", By: datasync.ByMatch, Field: "email", Value: "b@x"}, 2), "[]", "a failed transaction left a match")
	wantKeys(t, find(t, s, datasync.Lookup{By: datasync.ByParent, System: crm, Value: "firms/f1"}, 2), "[]", "a failed transaction left a wait")
	if h, err := s.RecordHistory(t.Context(), "people", "k1", "", 10); err != nil || len(h) != 0 {
		t.Errorf("a failed transaction left history %v, %v", h, err)
	}
	wantMeta(t, s, "cursor", "5")
	wantMeta(t, s, "new", "")
}

func syncOneRecord(t *testing.T, s datasync.Store) {
	syncWrite(t, s, datasync.Changes{Row: syncRow("k1", 0, "one"), Refs: []datasync.Ref{linkedRef(crm, "c1", "k1")}})
	err := tryWrite(t, s, datasync.Changes{Row: syncRow("k2", 0, "two"), Refs: []datasync.Ref{linkedRef(crm, "c1", "k2")}})
	if !errors.Is(err, datasync.ErrStale) {
		t.Errorf("a second record with the remote ID of the first: %v; want ErrStale: two records of ours would write one of theirs", err)
	}
	if _, ok, _ := s.LoadRecord(t.Context(), "people", "k2"); ok {
		t.Error("the refused record was stored without its remote ID")
	}
	alias := linkedRef(crm, "c1", "k2")
	alias.State = datasync.RefAlias
	if err := tryWrite(t, s, datasync.Changes{Row: syncRow("k2", 0, "two"), Refs: []datasync.Ref{alias}}); !errors.Is(err, datasync.ErrStale) {
		t.Errorf("the remote ID of one record as alias of another: %v; want ErrStale", err)
	}
	// The same ID in another system, or another link, is another record's.
	syncWrite(t, s, datasync.Changes{Row: syncRow("k2", 0, "two"), Refs: []datasync.Ref{linkedRef(billing, "c1", "k2")}})
	other := linkedRef(crm, "c1", "k1")
	other.Link = "firms"
	syncWrite(t, s, datasync.Changes{Row: &datasync.Row{Link: "firms", Key: "k1", Body: []byte("f")}, Refs: []datasync.Ref{other}})
	// It is free again once its record gave it up.
	syncWrite(t, s, datasync.Changes{Row: syncRow("k1", 1, "one")})
	syncWrite(t, s, datasync.Changes{Row: syncRow("k2", 1, "two"), Refs: []datasync.Ref{linkedRef(crm, "c1", "k2")}})
}

func syncReplaced(t *testing.T, s datasync.Store) {
	syncWrite(t, s, datasync.Changes{
		Row: syncRow("k1", 0, "one"), Refs: []datasync.Ref{linkedRef(crm, "c1", "k1"), linkedRef(billing, "b1", "k1")},
		Matches: map[string]string{"email": "a@x", "vat": "7"},
		Waits:   []datasync.Wait{{ParentLink: "firms", ParentKey: "f1", System: crm}, {ParentLink: "firms", ParentKey: "f1", System: billing}},
	})
	moved := linkedRef(crm, "c1", "k1")
	moved.Version, moved.Shown = "v2", 9
	syncWrite(t, s, datasync.Changes{
		Row: syncRow("k1", 1, "one"), Refs: []datasync.Ref{moved}, Matches: map[string]string{"email": "b@x"},
		Waits: []datasync.Wait{{ParentLink: "firms", ParentKey: "f1", System: billing}},
	})
	const why = "Write replaces all that the record had"
	if refs, err := s.RecordRefs(t.Context(), "people", crm, []string{"c1"}); err != nil || len(refs) != 1 || refs[0] != moved {
		t.Errorf("RecordRefs = %+v, %v; want %+v", refs, err, moved)
	}
	wantKeys(t, find(t, s, datasync.Lookup{Link: "people", By: datasync.ByRemote, System: billing, Value: "b1"}, 2), "[]", why)
	wantKeys(t, find(t, s, datasync.Lookup{Link: "people", By: datasync.ByMatch, Field: "email", Value: "a@x"}, 2), "[]", why)
	wantKeys(t, find(t, s, datasync.Lookup{Link: "people", By: datasync.ByMatch, Field: "vat", Value: "7"}, 2), "[]", why)
	wantKeys(t, find(t, s, datasync.Lookup{Link: "people", By: datasync.ByMatch, Field: "email", Value: "b@x"}, 2), "[k1]", why)
	wantKeys(t, find(t, s, datasync.Lookup{By: datasync.ByParent, System: crm, Value: "firms/f1"}, 2), "[]", why)
	wantKeys(t, find(t, s, datasync.Lookup{By: datasync.ByParent, System: billing, Value: "firms/f1"}, 2), "[people/k1]", why)
	// Without a row nothing of a record is touched.
	syncWrite(t, s, datasync.Changes{Link: "people", Meta: map[string]string{"cursor": "1"}})
	wantKeys(t, find(t, s, datasync.Lookup{Link: "people", By: datasync.ByMatch, Field: "email", Value: "b@x"}, 2), "[k1]", "Changes without a Row touch no record")
}

func syncHistory(t *testing.T, s datasync.Store) {
	at := time.Date(2026, 11, 24, 1, 2, 3, 4e6, time.UTC)
	first := datasync.Entry{Link: "people", Key: "k1", Field: "phone", System: crm, Kind: "conflict", Rule: "latest", Why: "newer", By: "ann", At: at, Seen: at.Add(time.Second), Old: "s1", New: "s2"}
	syncWrite(t, s, datasync.Changes{Entries: []datasync.Entry{first, {Link: "people", Key: "k1", Field: "email", Kind: "moved", Why: "2"}, {Link: "people", Key: "k2", Field: "phone", Kind: "moved"}}})
	syncWrite(t, s, datasync.Changes{Entries: []datasync.Entry{{Link: "people", Key: "k1", Kind: "created", Why: "3"}}})
	whys := func(field string, limit int) (all []string) {
		h, err := s.RecordHistory(t.Context(), "people", "k1", field, limit)
		if err != nil {
			t.Fatalf("RecordHistory: %v", err)
		}
		for _, e := range h {
			all = append(all, e.Why)
		}
		return all
	}
	wantKeys(t, whys("", 9), "[3 2 newer]", "newest first, of this record only")
	wantKeys(t, whys("", 2), "[3 2]", "at most limit, the newest")
	wantKeys(t, whys("phone", 9), "[newer]", "one field")
	h, err := s.RecordHistory(t.Context(), "people", "k1", "phone", 1)
	if err != nil || len(h) != 1 || h[0] != first {
		t.Errorf("RecordHistory = %+v, %v; want %+v", h, err, first)
	}
}

func wantMeta(t *testing.T, s datasync.Store, name, want string) {
	t.Helper()
	var got string
	err := s.UpdateRecords(t.Context(), func(tx datasync.Tx) (err error) {
		got, err = tx.Meta(t.Context(), "people", name)
		return err
	})
	if err != nil || got != want {
		t.Errorf("Meta(%q) = %q, %v; want %q", name, got, err, want)
	}
}

func syncMeta(t *testing.T, s datasync.Store) {
	wantMeta(t, s, "cursor", "")
	syncWrite(t, s, datasync.Changes{Link: "people", Meta: map[string]string{"cursor": "1", "rules": "r"}})
	syncWrite(t, s, datasync.Changes{Link: "people", Meta: map[string]string{"cursor": "2"}})
	wantMeta(t, s, "cursor", "2")
	wantMeta(t, s, "rules", "r")
	syncWrite(t, s, datasync.Changes{Link: "people", Meta: map[string]string{"cursor": "", "never": ""}})
	wantMeta(t, s, "cursor", "")
	wantMeta(t, s, "rules", "r")
	err := s.UpdateRecords(t.Context(), func(tx datasync.Tx) error {
		if err := tx.Write(t.Context(), datasync.Changes{Link: "people", Meta: map[string]string{"cursor": "9"}}); err != nil {
			return err
		}
		got, err := tx.Meta(t.Context(), "people", "cursor")
		if got != "9" {
			t.Errorf("Meta inside the transaction that set it = %q; want what was just written", got)
		}
		return err
	})
	if err != nil {
		t.Errorf("UpdateRecords: %v", err)
	}
}

func syncCounts(t *testing.T, s datasync.Store) {
	if c, err := s.CountRecords(t.Context(), "people"); err != nil || c.Records != 0 || c.Outstanding != 0 || c.Parked != 0 || len(c.Linked) != 0 {
		t.Errorf("CountRecords of nothing = %+v, %v", c, err)
	}
	for i := range 4 {
		key := fmt.Sprint("k", i)
		row := syncRow(key, 0, key)
		row.Exists, row.Outstanding, row.Parked = i != 0, i < 2, i == 3
		refs := []datasync.Ref{linkedRef(crm, "c"+key, key), {Link: "people", System: crm, ID: "old-" + key, Key: key, State: datasync.RefAlias}}
		if i < 3 {
			refs = append(refs, datasync.Ref{Link: "people", System: billing, Key: key, State: datasync.RefCreating})
		} else {
			refs = append(refs, linkedRef(billing, "b"+key, key))
		}
		syncWrite(t, s, datasync.Changes{Row: row, Refs: refs})
	}
	c, err := s.CountRecords(t.Context(), "people")
	if err != nil || c.Records != 4 || c.Outstanding != 2 || c.Parked != 1 {
		t.Errorf("CountRecords = %+v, %v; want 4 records, 2 outstanding, 1 parked", c, err)
	}
	if c.Linked[crm] != 4 || c.Linked[billing] != 1 {
		t.Errorf("Linked = %v; want 4 and 1: neither aliases nor creates under way count", c.Linked)
	}
	if c.Deleting[crm] != 1 || c.Deleting[billing] != 0 {
		t.Errorf("Deleting = %v; want 1 and 0: linked records that no longer exist, which the brake on deletions counts", c.Deleting)
	}
}

func syncLinksApart(t *testing.T, s datasync.Store) {
	syncWrite(t, s, datasync.Changes{
		Row: syncRow("k1", 0, "one"), Refs: []datasync.Ref{linkedRef(crm, "c1", "k1")}, Matches: map[string]string{"email": "a@x"},
		Entries: []datasync.Entry{{Link: "people", Key: "k1", Kind: "moved"}}, Link: "people", Meta: map[string]string{"cursor": "1"},
	})
	if _, ok, err := s.LoadRecord(t.Context(), "firms", "k1"); ok || err != nil {
		t.Errorf("LoadRecord of another link = %v, %v", ok, err)
	}
	const why = "a lookup sees its own link only"
	wantKeys(t, find(t, s, datasync.Lookup{Link: "firms", By: datasync.ByRemote, System: crm, Value: "c1"}, 2), "[]", why)
	wantKeys(t, find(t, s, datasync.Lookup{Link: "firms", By: datasync.ByMatch, Field: "email", Value: "a@x"}, 2), "[]", why)
	if rows, err := s.ScanRecords(t.Context(), "firms", datasync.AllRecords, "", 9); err != nil || len(rows) != 0 {
		t.Errorf("ScanRecords of another link = %v, %v", rows, err)
	}
	if h, err := s.RecordHistory(t.Context(), "firms", "k1", "", 9); err != nil || len(h) != 0 {
		t.Errorf("RecordHistory of another link = %v, %v", h, err)
	}
	err := s.UpdateRecords(t.Context(), func(tx datasync.Tx) error {
		got, err := tx.Meta(t.Context(), "firms", "cursor")
		if got != "" {
			t.Errorf("Meta of another link = %q: its cursor would skip records of this one", got)
		}
		return err
	})
	if err != nil {
		t.Errorf("UpdateRecords: %v", err)
	}
}

func syncBody(t *testing.T, s datasync.Store) {
	body := []byte("one")
	syncWrite(t, s, datasync.Changes{Row: &datasync.Row{Link: "people", Key: "k1", Body: body}})
	body[0] = 'X'
	got, _, err := s.LoadRecord(t.Context(), "people", "k1")
	if err != nil || !bytes.Equal(got.Body, []byte("one")) {
		t.Errorf("the body changed with the caller's slice: %q, %v", got.Body, err)
	}
}

// syncOutbox checks that Tx.Outbox is the transaction itself: a message that is
// enqueued through it and the state it stands for commit together.
func syncOutbox(t *testing.T, s datasync.Store) {
	messages, ok := s.(outbox.Store)
	if !ok {
		t.Fatalf("%T is no outbox.Store: a link could not commit a change and the message that it causes together", s)
	}
	manager, err := alert.New(alert.Config{AllowSilence: true})
	if err != nil {
		t.Fatalf("alert.New: %v", err)
	}
	queue, err := outbox.New(outbox.Config{Store: messages, Alerts: manager, Destinations: []outbox.Destination{{Name: "people/crm"}}})
	if err != nil {
		t.Fatalf("outbox.New: %v", err)
	}
	both := func(key string, fail error) error {
		return s.UpdateRecords(t.Context(), func(tx datasync.Tx) error {
			if err := tx.Write(t.Context(), datasync.Changes{Row: syncRow(key, 0, key)}); err != nil {
				return err
			}
			if err := queue.Enqueue(t.Context(), tx.Outbox(), outbox.Message{To: "people/crm", Key: key}); err != nil {
				return err
			}
			return fail
		})
	}
	boom := errors.New("boom")
	if err := both("k1", boom); !errors.Is(err, boom) {
		t.Errorf("UpdateRecords = %v; want the error of its fn", err)
	}
	wantWaiting(t, queue, 0, "a message outlived the change that it was about: it was enqueued outside the transaction")
	if err := both("k2", nil); err != nil {
		t.Fatalf("UpdateRecords with a message: %v", err)
	}
	wantWaiting(t, queue, 1, "a change was committed without its message: nobody would ever write it")
	if _, ok, err := s.LoadRecord(t.Context(), "people", "k2"); !ok || err != nil {
		t.Errorf("LoadRecord = %v, %v; want the record that was written with the message", ok, err)
	}
}

func wantWaiting(t *testing.T, q *outbox.Queue, want int64, why string) {
	t.Helper()
	lags, err := q.Lag(t.Context())
	if err != nil {
		t.Fatalf("Lag: %v", err)
	}
	var got int64
	for _, l := range lags {
		got += l.Waiting
	}
	if got != want {
		t.Errorf("%d messages wait; want %d: %s", got, want, why)
	}
}
