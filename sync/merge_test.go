package sync

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/conflict"
	"github.com/tectari/dovetail/ownership"
	"pgregory.net/rapid"
)

// twelve are the rules of a customer with 12 fields between two systems.
func twelve(tb testing.TB) *rules {
	names := []string{"name", "email", "street", "city", "zip", "country", "phone", "vat", "terms", "balance", "note", "tag"}
	owned := ownership.Rules{"phone": ownership.Shared("crm", "erp"), "note": ownership.Shared("crm", "erp")}
	for _, n := range names[:6] {
		owned[n] = ownership.By("crm")
	}
	for _, n := range []string{"vat", "terms", "balance", "tag"} {
		owned[n] = ownership.By("erp")
	}
	return rulesOf(tb, names, []dovetail.System{"crm", "erp"}, owned, conflict.Fields{"phone": conflict.Prefer("crm", "erp"), "note": conflict.Park()})
}

func rulesOf(tb testing.TB, names []string, systems []dovetail.System, owned ownership.Rules, resolvers conflict.Fields) *rules {
	tb.Helper()
	all := map[dovetail.System]bool{}
	for _, s := range systems {
		all[s] = true
	}
	resolved := map[string]bool{}
	for n := range resolvers {
		resolved[n] = true
	}
	table, faults := ownership.Check(ownership.Plan{Record: "customer", Fields: names, Systems: systems, CanWrite: all, CanCreate: all, CanDelete: all, Rules: owned, Exists: ownership.By(systems[0]), Resolved: resolved})
	require.NotNil(tb, table, "%v", faults)
	l := &Link{schema: &schema{names: names}}
	for _, s := range systems {
		l.parties = append(l.parties, &party{name: s})
	}
	return compileRules(l, checkInput{name: "customers", resolvers: resolvers}, table)
}

func showing(u *rules, s int, pairs map[string]string) *shown {
	o := &shown{id: fmt.Sprint("id", s), values: make([]dovetail.Value, len(u.fields))}
	for f, name := range u.fields {
		if v, ok := pairs[name]; ok {
			o.values[f] = dovetail.String(strings.Clone(v)) // as if it came off the wire
		}
	}
	return o
}

func (u *rules) at(name string) int { return u.fieldAt([]byte(name), -1+len(u.fields)) }

// TestMergeTakesTheOwnersValue: an owner's change becomes canonical, and only
// the others lag.
func TestMergeTakesTheOwnersValue(t *testing.T) {
	t.Parallel()
	u := twelve(t)
	r := newRecord("k", len(u.fields), 2)
	r.shadow[0].status, r.shadow[1].status = linked, linked
	var notes journal
	require.True(t, u.merge(context.Background(), r, 0, showing(u, 0, map[string]string{"name": "Ada"}), time.Now(), &notes))
	f := u.at("name")
	require.Equal(t, "Ada", r.values[f].Text())
	require.True(t, u.lags(r, 1, f), "the other system must be written")
	require.False(t, u.lags(r, 0, f), "the owner must not")
}

// TestMergeRevertsATrespass: a non-owner's change never becomes canonical; the
// owner's value is written back and the trespass is noted.
func TestMergeRevertsATrespass(t *testing.T) {
	t.Parallel()
	u := twelve(t)
	r := newRecord("k", len(u.fields), 2)
	var notes journal
	u.merge(context.Background(), r, 0, showing(u, 0, map[string]string{"name": "Ada"}), time.Now(), &notes)
	u.merge(context.Background(), r, 1, showing(u, 1, map[string]string{"name": "Ada"}), time.Now(), &notes)
	notes = journal{}
	u.merge(context.Background(), r, 1, showing(u, 1, map[string]string{"name": "Mallory"}), time.Now(), &notes)
	f := u.at("name")
	require.Equal(t, "Ada", r.values[f].Text())
	require.True(t, u.lags(r, 1, f), "the owner's value must be written back")
	require.Len(t, notes.notes, 1)
	require.Equal(t, noteTrespass, notes.notes[0].kind)
}

// TestMergeIgnoresAnEcho: our own write coming back changes nothing.
func TestMergeIgnoresAnEcho(t *testing.T) {
	t.Parallel()
	u := twelve(t)
	r := newRecord("k", len(u.fields), 2)
	var notes journal
	o := showing(u, 0, map[string]string{"name": "Ada", "phone": "1"})
	u.merge(context.Background(), r, 0, o, time.Now(), &notes)
	notes = journal{}
	require.False(t, u.merge(context.Background(), r, 0, o, time.Now(), &notes))
	require.Empty(t, notes.notes)
}

// TestMergeDecidesAConflictByItsResolver: when both sides moved since they
// agreed, the resolver decides, or the field alone is parked.
func TestMergeDecidesAConflictByItsResolver(t *testing.T) {
	t.Parallel()
	u := twelve(t)
	r := newRecord("k", len(u.fields), 2)
	var notes journal
	ctx := context.Background()
	both := map[string]string{"phone": "0", "note": "0"}
	u.merge(ctx, r, 0, showing(u, 0, both), time.Now(), &notes)
	u.merge(ctx, r, 1, showing(u, 1, both), time.Now(), &notes)
	u.merge(ctx, r, 0, showing(u, 0, map[string]string{"phone": "crm", "note": "crm"}), time.Now(), &notes)
	u.merge(ctx, r, 1, showing(u, 1, map[string]string{"phone": "erp", "note": "erp"}), time.Now(), &notes)
	phone, note := u.at("phone"), u.at("note")
	require.Equal(t, "crm", r.values[phone].Text(), "Prefer names crm first")
	require.True(t, u.lags(r, 1, phone))
	require.True(t, r.isHeld(note), "Park leaves it to a person")
	require.False(t, u.lags(r, 1, note), "a parked field is not written")
	require.False(t, r.isHeld(phone), "only the parked field stops")
}

// TestMergeLeavesAbsentFieldsAlone: a field that is not shown says nothing, while
// null is a value.
func TestMergeLeavesAbsentFieldsAlone(t *testing.T) {
	t.Parallel()
	u := twelve(t)
	r := newRecord("k", len(u.fields), 2)
	var notes journal
	ctx := context.Background()
	u.merge(ctx, r, 0, showing(u, 0, map[string]string{"name": "Ada", "email": "a@b"}), time.Now(), &notes)
	u.merge(ctx, r, 0, showing(u, 0, map[string]string{"email": "a@c"}), time.Now(), &notes)
	require.Equal(t, "Ada", r.values[u.at("name")].Text())
	o := showing(u, 0, nil)
	o.values[u.at("name")] = dovetail.Null()
	u.merge(ctx, r, 0, o, time.Now(), &notes)
	require.True(t, r.values[u.at("name")].IsNull())
}

// TestStateSurvivesTheStore: what is stored is what is read back.
func TestStateSurvivesTheStore(t *testing.T) {
	t.Parallel()
	u := twelve(t)
	rapid.Check(t, func(t *rapid.T) {
		r := drawRecord(t, u)
		got, err := u.unmarshal(Row{Key: r.key, Seq: r.seq, Exists: r.exists, Body: u.marshal(r)})
		require.NoError(t, err)
		require.Equal(t, r, got)
	})
}

func drawRecord(t *rapid.T, u *rules) *record {
	value := rapid.Custom(func(t *rapid.T) dovetail.Value {
		switch rapid.IntRange(0, 4).Draw(t, "kind") {
		case 0:
			return dovetail.Value{}
		case 1:
			return dovetail.Null()
		case 2:
			return dovetail.Int(rapid.Int64().Draw(t, "n"))
		case 3:
			return dovetail.DecimalOf(rapid.Int64Range(-1e15, 1e15).Draw(t, "c"), uint8(rapid.IntRange(0, 6).Draw(t, "scale")))
		default:
			return dovetail.String(rapid.String().Draw(t, "s"))
		}
	})
	rev := rapid.Uint32Range(0, 5)
	r := newRecord("k", len(u.fields), len(u.systems))
	r.seq, r.exists = rapid.Int64Range(1, 99).Draw(t, "seq"), rapid.Bool().Draw(t, "exists")
	r.parked = rapid.SampledFrom([]string{"", "why"}).Draw(t, "parked")
	for f := range r.values {
		r.values[f], r.revs[f] = value.Draw(t, "value"), rev.Draw(t, "rev")
		r.from[f] = origin{system: rapid.IntRange(-1, 1).Draw(t, "from"), at: time.Unix(0, rapid.Int64Range(1, 1e18).Draw(t, "at")).UTC(), by: rapid.String().Draw(t, "by")}
		if rapid.IntRange(0, 9).Draw(t, "held") == 0 {
			r.holdField(f, hold{why: "why", system: 1})
		}
	}
	for s := range r.shadow {
		sh := &r.shadow[s]
		sh.status, sh.id, sh.version, sh.gen = status(rapid.IntRange(0, 3).Draw(t, "status")), rapid.String().Draw(t, "id"), rapid.String().Draw(t, "version"), rev.Draw(t, "gen")
		sh.touch, sh.unsure = rapid.Int64().Draw(t, "touch"), rapid.Bool().Draw(t, "unsure")
		for f := range sh.ack {
			sh.ack[f], sh.rev[f] = value.Draw(t, "ack"), rev.Draw(t, "ackrev")
			if rapid.IntRange(0, 5).Draw(t, "refused") == 0 {
				sh.refuse(f, 1)
			}
		}
		if rapid.Bool().Draw(t, "alias") {
			sh.aliases = []string{"old"}
		}
		if rapid.Bool().Draw(t, "ghost") {
			sh.ghosts = []ghost{{field: 3, value: value.Draw(t, "ghost value"), rev: 2, until: time.Unix(9, 9).UTC()}}
		}
		if rapid.Bool().Draw(t, "pending") {
			sh.pend, sh.pendRev = make([]dovetail.Value, len(sh.ack)), make([]uint32, len(sh.ack))
			sh.pend[2], sh.pendRev[2] = value.Draw(t, "pend"), 3
		}
	}
	if rapid.Bool().Draw(t, "waits") {
		r.waits = []parent{{link: "customers", key: "x", system: 1}}
	}
	return r
}

// FuzzStateNeverPanics: whatever bytes the database holds, reading them is a
// record or an error.
func FuzzStateNeverPanics(f *testing.F) {
	u := twelve(f)
	f.Add(u.marshal(newRecord("k", len(u.fields), 2)))
	f.Add([]byte{stateFormat, 0, 255, 255, 255, 255, 15})
	f.Fuzz(func(t *testing.T, body []byte) {
		if r, err := u.unmarshal(Row{Key: "k", Body: body}); err == nil {
			_, err := u.unmarshal(Row{Key: "k", Body: u.marshal(r)})
			require.NoError(t, err)
		}
	})
}

// TestMergeOfNothingNewAllocatesNothing: a record that did not change costs no
// memory.
func TestMergeOfNothingNewAllocatesNothing(t *testing.T) {
	u := twelve(t)
	r, o := settled(u)
	var notes journal
	ctx, now := context.Background(), time.Now()
	require.Zero(t, testing.AllocsPerRun(100, func() { u.merge(ctx, r, 1, o, now, &notes) }))
}

func settled(u *rules) (*record, *shown) {
	r := newRecord("k", len(u.fields), 2)
	pairs := map[string]string{}
	for f, name := range u.fields {
		pairs[name] = fmt.Sprintf("the value of field %02d, some 36 bytes", f)
	}
	var notes journal
	u.merge(context.Background(), r, 0, showing(u, 0, pairs), time.Now(), &notes)
	u.merge(context.Background(), r, 1, showing(u, 1, pairs), time.Now(), &notes)
	return r, showing(u, 1, pairs)
}

func BenchmarkMergeUnchanged12(b *testing.B) {
	u := twelve(b)
	r, o := settled(u)
	var notes journal
	ctx, now := context.Background(), time.Now()
	b.ReportAllocs()
	for b.Loop() {
		u.merge(ctx, r, 1, o, now, &notes)
	}
}

func BenchmarkStateRead12(b *testing.B) {
	u := twelve(b)
	r, _ := settled(u)
	row := Row{Key: "k", Seq: 1, Exists: true, Body: u.marshal(r)}
	b.ReportAllocs()
	b.SetBytes(int64(len(row.Body)))
	for b.Loop() {
		if _, err := u.unmarshal(row); err != nil {
			b.Fatal(err)
		}
	}
}
