package idempotency_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tectari/dovetail/dovetailtest"
	"github.com/tectari/dovetail/idempotency"
	"github.com/tectari/dovetail/store/memstore"
)

// A counting ledger counts its calls.
type counting struct {
	*memstore.Store
	many, others int
}

func (c *counting) ClaimMany(ctx context.Context, r []idempotency.ClaimRequest) ([]idempotency.Claim, error) {
	c.many++
	return c.Store.ClaimMany(ctx, r)
}

func (c *counting) Claim(ctx context.Context, r idempotency.ClaimRequest) (idempotency.Claim, error) {
	c.others++
	return c.Store.Claim(ctx, r)
}

func (c *counting) MarkSending(ctx context.Context, m idempotency.Mark) error {
	c.others++
	return c.Store.MarkSending(ctx, m)
}

func manyKey(n int) idempotency.Key { return idempotency.Key{Scope: "s", ID: fmt.Sprint(n)} }

func manyUpserter(t require.TestingT, store idempotency.Store, target *dovetailtest.Target[invoice]) *idempotency.Upserter[invoice] {
	u, err := idempotency.NewUpserter(idempotency.Config[invoice]{
		Store: store, Observer: quiet{}, Lease: lease, RequestLife: requestLife,
		Target: idempotency.Target[invoice]{Create: target.Create, KeyWindow: keyWindow, Find: target.Find, FindLag: findLag, Update: target.Update},
	})
	require.NoError(t, err)
	return u
}

// A re-run in which nothing has changed calls nobody, and asks the ledger once for
// every 200 records.
func TestUnchangedRecordsCostOneRoundTripForMany(t *testing.T) {
	t.Parallel()
	store, target := &counting{Store: memstore.New()}, dovetailtest.NewTarget[invoice](dovetailtest.TargetConfig{KeyWindow: keyWindow})
	u := manyUpserter(t, store, target)
	items := make([]idempotency.Item[invoice], 1000)
	for i := range items {
		items[i] = idempotency.Item[invoice]{Key: manyKey(i), Seq: 1, Value: invoice{Number: fmt.Sprint(i)}}
	}
	for i, r := range u.UpsertMany(t.Context(), items) {
		require.NoError(t, r.Err)
		require.Equal(t, idempotency.Created, r.Outcome)
		require.Equal(t, target.Of(items[i].Key)[0].ID, r.Ref.ID)
	}
	calls := target.Calls()
	store.many, store.others = 0, 0
	for i := range items {
		items[i].Seq = 2
	}
	for _, r := range u.UpsertMany(t.Context(), items) {
		require.NoError(t, r.Err)
		require.Equal(t, idempotency.Unchanged, r.Outcome)
	}
	require.Equal(t, calls, target.Calls(), "calls of the target")
	require.Equal(t, 5, store.many)
	require.Zero(t, store.others)
	e, _, err := store.Get(t.Context(), manyKey(7))
	require.NoError(t, err)
	require.EqualValues(t, 2, e.Seq, "an unchanged newer version counts")
}

// What UpsertMany says of each record, and what it leaves behind, is what Upsert of
// one after the other does: whatever was there before and whatever goes wrong.
func TestUpsertManyIsUpsertOfEach(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		type call struct {
			item  idempotency.Item[invoice]
			fault dovetailtest.TargetFault
		}
		var rounds [][]call
		for range rapid.IntRange(1, 4).Draw(t, "rounds") {
			var round []call
			for range rapid.IntRange(0, 12).Draw(t, "items") {
				c := call{item: idempotency.Item[invoice]{
					Key: manyKey(rapid.IntRange(0, 6).Draw(t, "key")), Seq: rapid.Int64Range(-1, 4).Draw(t, "seq"),
					Value: invoice{Cents: rapid.Int64Range(0, 2).Draw(t, "cents")},
				}}
				if rapid.IntRange(0, 9).Draw(t, "bad") == 0 {
					c.item.Key.ID = ""
				}
				c.fault = dovetailtest.TargetFault(rapid.IntRange(0, int(dovetailtest.TargetAnswers429)).Draw(t, "fault"))
				round = append(round, c)
			}
			rounds = append(rounds, round)
		}
		var said [2][]string
		for way := range said {
			rapid.SyncTest(t, func(t *rapid.T) {
				store := memstore.New()
				target := dovetailtest.NewTarget[invoice](dovetailtest.TargetConfig{KeyWindow: keyWindow, FindLag: findLag, Late: requestLife / 2})
				u := manyUpserter(t, store, target)
				say := func(r idempotency.Result, err error) {
					said[way] = append(said[way], fmt.Sprint(r.Outcome, " ", r.Ref, " ", err))
				}
				for _, round := range rounds {
					var items []idempotency.Item[invoice]
					for _, c := range round {
						target.Fail(c.fault)
						items = append(items, c.item)
					}
					if way == 0 {
						for _, it := range items {
							say(u.Upsert(context.Background(), it.Key, it.Seq, it.Value))
						}
					} else {
						for _, r := range u.UpsertMany(context.Background(), items) {
							say(r.Result, r.Err)
						}
					}
					time.Sleep(time.Hour)
				}
				for n := range 7 {
					e, found, err := store.Get(context.Background(), manyKey(n))
					said[way] = append(said[way], fmt.Sprint(found, err, e.State, e.Seq, e.Ref, e.Fingerprint, target.Of(manyKey(n))))
				}
			})
		}
		require.Equal(t, said[0], said[1])
	})
}

// A claim that had to wait for those before it longer than its lease is made anew:
// another worker may have written the record meanwhile.
func TestAClaimThatWaitedTooLongIsMadeAnew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, target := memstore.New(), dovetailtest.NewTarget[invoice](dovetailtest.TargetConfig{KeyWindow: keyWindow})
		other := manyUpserter(t, store, target)
		slow, err := idempotency.NewUpserter(idempotency.Config[invoice]{
			Store: store, Observer: quiet{}, Lease: lease, RequestLife: requestLife,
			Target: idempotency.Target[invoice]{
				KeyWindow: keyWindow, Update: target.Update,
				Create: func(ctx context.Context, k idempotency.Key, v invoice) (idempotency.Ref, error) {
					time.Sleep(2 * lease)
					return target.Create(ctx, k, v)
				},
			},
		})
		require.NoError(t, err)
		go func() {
			time.Sleep(lease + time.Second)
			_, err := other.Upsert(t.Context(), manyKey(2), 0, invoice{Number: "2"})
			require.NoError(t, err)
		}()
		results := slow.UpsertMany(t.Context(), []idempotency.Item[invoice]{
			{Key: manyKey(1), Value: invoice{Number: "1"}}, {Key: manyKey(2), Value: invoice{Number: "2"}}, {Key: manyKey(3), Value: invoice{Number: "3"}},
		})
		for i, want := range []idempotency.Outcome{idempotency.Created, idempotency.Unchanged, idempotency.Created} {
			require.NoError(t, results[i].Err)
			require.Equal(t, want, results[i].Outcome)
			require.Len(t, target.Of(manyKey(i+1)), 1)
		}
	})
}

// When the caller gives up, what was not sent is not sent, and says so.
func TestUpsertManyEndsWithItsContext(t *testing.T) {
	t.Parallel()
	store, target := memstore.New(), dovetailtest.NewTarget[invoice](dovetailtest.TargetConfig{KeyWindow: keyWindow})
	ctx, cancel := context.WithCancel(t.Context())
	u, err := idempotency.NewUpserter(idempotency.Config[invoice]{
		Store: store, Observer: quiet{},
		Target: idempotency.Target[invoice]{KeyWindow: keyWindow, Update: target.Update, Create: func(ctx context.Context, k idempotency.Key, v invoice) (idempotency.Ref, error) {
			defer cancel()
			return target.Create(ctx, k, v)
		}},
	})
	require.NoError(t, err)
	results := u.UpsertMany(ctx, []idempotency.Item[invoice]{{Key: manyKey(1)}, {Key: manyKey(2)}})
	require.NoError(t, results[0].Err)
	require.ErrorIs(t, results[1].Err, context.Canceled)
	require.Empty(t, target.Of(manyKey(2)))
}

// A ledger that cannot be reached is said of each record, and nothing is sent.
func TestUpsertManyWithoutALedgerSendsNothing(t *testing.T) {
	t.Parallel()
	target := dovetailtest.NewTarget[invoice](dovetailtest.TargetConfig{KeyWindow: keyWindow})
	u := manyUpserter(t, &unreachable{Store: memstore.New()}, target)
	for _, r := range u.UpsertMany(t.Context(), []idempotency.Item[invoice]{{Key: manyKey(1)}, {Key: manyKey(2)}}) {
		require.ErrorIs(t, r.Err, errUnreachable)
	}
	require.Zero(t, target.Calls())
}

var errUnreachable = errors.New("connection refused")

type unreachable struct{ *memstore.Store }

func (*unreachable) ClaimMany(context.Context, []idempotency.ClaimRequest) ([]idempotency.Claim, error) {
	return nil, errUnreachable
}
