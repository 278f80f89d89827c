package dovetailtest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/tectari/dovetail"
	datasync "github.com/tectari/dovetail/sync"
)

// find runs one lookup.
func find(t *testing.T, s datasync.Store, l datasync.Lookup, limit int) (keys []string) {
	t.Helper()
	err := s.UpdateRecords(t.Context(), func(tx datasync.Tx) (err error) {
		keys, err = tx.Find(t.Context(), l, limit)
		return err
	})
	if err != nil {
		t.Fatalf("Find(%+v): %v", l, err)
	}
	return keys
}

func wantKeys(t *testing.T, got []string, want, why string) {
	t.Helper()
	if fmt.Sprint(got) != want {
		t.Errorf("got %v; want %s: %s", got, want, why)
	}
}

func syncByRemote(t *testing.T, s datasync.Store) {
	alias := datasync.Ref{Link: "people", System: crm, ID: "c0", Key: "k1", State: datasync.RefAlias}
	creating := datasync.Ref{Link: "people", System: billing, Key: "k1", State: datasync.RefCreating}
	syncWrite(t, s, datasync.Changes{Row: syncRow("k1", 0, "one"), Refs: []datasync.Ref{linkedRef(crm, "c1", "k1"), alias, creating}})
	at := func(system dovetail.System, id string) []string {
		return find(t, s, datasync.Lookup{Link: "people", By: datasync.ByRemote, System: system, Value: id}, 2)
	}
	wantKeys(t, at(crm, "c1"), "[k1]", "it is linked")
	wantKeys(t, at(crm, "c0"), "[k1]", "an alias still leads to its record, or it would be taken for a new one")
	wantKeys(t, at(billing, ""), "[]", "a create under way has no remote ID yet")
	wantKeys(t, at(crm, "C1"), "[]", "IDs are compared byte by byte")
}

func syncByMatch(t *testing.T, s datasync.Store) {
	for _, key := range []string{"k3", "k1", "k2"} {
		syncWrite(t, s, datasync.Changes{Row: syncRow(key, 0, key), Matches: map[string]string{"email": "a@x", "vat": key}})
	}
	at := func(field, value string, limit int) []string {
		return find(t, s, datasync.Lookup{Link: "people", By: datasync.ByMatch, Field: field, Value: value}, limit)
	}
	wantKeys(t, at("email", "a@x", 2), "[k1 k2]", "key order, at most limit")
	wantKeys(t, at("email", "a@x", 9), "[k1 k2 k3]", "several records may have one value: that is for the caller to see")
	wantKeys(t, at("vat", "k2", 9), "[k2]", "fields are kept apart")
	wantKeys(t, at("vat", "a@x", 9), "[]", "fields are kept apart")
	wantKeys(t, at("email", "A@x", 9), "[]", "values are compared byte by byte: an upper case would link two people")
}

func syncByCreating(t *testing.T, s datasync.Store) {
	for _, key := range []string{"k2", "k1"} {
		syncWrite(t, s, datasync.Changes{Row: syncRow(key, 0, key), Refs: []datasync.Ref{{Link: "people", System: crm, Key: key, State: datasync.RefCreating}}})
	}
	at := func(system dovetail.System, limit int) []string {
		return find(t, s, datasync.Lookup{Link: "people", By: datasync.ByCreating, System: system}, limit)
	}
	wantKeys(t, at(crm, 9), "[k1 k2]", "two creates may be under way at once, in one system")
	wantKeys(t, at(crm, 1), "[k1]", "at most limit")
	wantKeys(t, at(billing, 9), "[]", "systems are kept apart")
	syncWrite(t, s, datasync.Changes{Row: syncRow("k1", 1, "k1"), Refs: []datasync.Ref{linkedRef(crm, "c1", "k1")}})
	wantKeys(t, at(crm, 9), "[k2]", "a create that is settled is no longer under way")
}

func syncByParent(t *testing.T, s datasync.Store) {
	wait := []datasync.Wait{{ParentLink: "firms", ParentKey: "f1", System: crm}}
	syncWrite(t, s, datasync.Changes{Row: syncRow("k2", 0, "b"), Waits: wait})
	syncWrite(t, s, datasync.Changes{Row: syncRow("k1", 0, "a"), Waits: wait})
	syncWrite(t, s, datasync.Changes{Row: &datasync.Row{Link: "orders", Key: "k9", Body: []byte("o")}, Waits: wait})
	at := func(system dovetail.System, parent string, limit int) []string {
		return find(t, s, datasync.Lookup{Link: "firms", By: datasync.ByParent, System: system, Value: parent}, limit)
	}
	wantKeys(t, at(crm, "firms/f1", 9), "[orders/k9 people/k1 people/k2]", "the children of every link, in order")
	wantKeys(t, at(crm, "firms/f1", 1), "[orders/k9]", "at most limit")
	wantKeys(t, at(billing, "firms/f1", 9), "[]", "systems are kept apart")
	wantKeys(t, at(crm, "firms/f2", 9), "[]", "parents are kept apart")
}

func syncRecordRefs(t *testing.T, s datasync.Store) {
	alias := datasync.Ref{Link: "people", System: crm, ID: "c0", Key: "k1", State: datasync.RefAlias}
	creating := datasync.Ref{Link: "people", System: crm, Key: "k2", State: datasync.RefCreating}
	syncWrite(t, s, datasync.Changes{Row: syncRow("k1", 0, "one"), Refs: []datasync.Ref{linkedRef(crm, "c1", "k1"), alias}})
	syncWrite(t, s, datasync.Changes{Row: syncRow("k2", 0, "two"), Refs: []datasync.Ref{creating}})
	ids := []string{"c1", "", "c0", "nowhere"}
	for i := range 1200 { // more than one statement takes
		ids = append(ids, fmt.Sprint("other-", i))
	}
	refs, err := s.RecordRefs(t.Context(), "people", crm, ids)
	if err != nil || len(refs) != 2 || !slices.Contains(refs, linkedRef(crm, "c1", "k1")) || !slices.Contains(refs, alias) {
		t.Errorf("RecordRefs = %+v, %v; want the linked ID and the alias as written, and nothing else", refs, err)
	}
	if refs, err := s.RecordRefs(t.Context(), "people", crm, nil); err != nil || len(refs) != 0 {
		t.Errorf("RecordRefs of no IDs = %v, %v", refs, err)
	}
}

func syncScan(t *testing.T, s datasync.Store) {
	for i, key := range []string{"b", "B", "é", "a", "c"} {
		row := syncRow(key, 0, key)
		row.Outstanding, row.Parked = i%2 == 0, i == 3
		syncWrite(t, s, datasync.Changes{Row: row})
	}
	walk := func(f datasync.Filter) (keys []string) {
		for after := ""; ; {
			rows, err := s.ScanRecords(t.Context(), "people", f, after, 2)
			if err != nil {
				t.Fatalf("ScanRecords: %v", err)
			}
			for _, r := range rows {
				if string(r.Body) != r.Key || r.Seq != 1 || !r.Exists || r.Link != "people" {
					t.Errorf("ScanRecords: %+v", r)
				}
				keys, after = append(keys, r.Key), r.Key
			}
			if len(rows) < 2 {
				return keys
			}
		}
	}
	wantKeys(t, walk(datasync.AllRecords), "[B a b c é]", "byte order, none twice, none left out: a walk beside a listing depends on it")
	wantKeys(t, walk(datasync.Outstanding), "[b c é]", "Outstanding selects what has work left")
	wantKeys(t, walk(datasync.Parked), "[a]", "Parked selects what waits for a person")
}

func syncRemotes(t *testing.T, s datasync.Store) {
	for i, id := range []string{"b", "B", "é", "a"} {
		key := fmt.Sprint("k", i)
		syncWrite(t, s, datasync.Changes{Row: syncRow(key, 0, key), Refs: []datasync.Ref{
			linkedRef(crm, id, key),
			{Link: "people", System: crm, ID: "old-" + id, Key: key, State: datasync.RefAlias},
			{Link: "people", System: billing, Key: key, State: datasync.RefCreating},
		}})
	}
	var ids []string
	for after := ""; ; {
		refs, err := s.RecordRemotes(t.Context(), "people", crm, after, 2)
		if err != nil {
			t.Fatalf("RecordRemotes: %v", err)
		}
		for _, r := range refs {
			if r != linkedRef(crm, r.ID, r.Key) {
				t.Errorf("RecordRemotes: %+v; want it as written", r)
			}
			ids, after = append(ids, r.ID), r.ID
		}
		if len(refs) < 2 {
			break
		}
	}
	wantKeys(t, ids, "[B a b é]", "linked IDs in byte order, without aliases")
	if refs, err := s.RecordRemotes(t.Context(), "people", billing, "", 9); err != nil || len(refs) != 0 {
		t.Errorf("RecordRemotes where only creates are under way = %+v, %v; want none", refs, err)
	}
}
