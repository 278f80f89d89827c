package sync_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/alert"
	"github.com/tectari/dovetail/dovetailtest"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/ownership"
	"github.com/tectari/dovetail/store/memstore"
	datasync "github.com/tectari/dovetail/sync"
)

type buyer struct {
	Email string `json:"email"`
}

type bill struct {
	Number string `json:"number"`
	Buyer  string `json:"buyer"`
}

// slowReader lets something happen right after a record was read outside a
// transaction.
type slowReader struct {
	*memstore.Store
	after func(link, key string)
}

func (s *slowReader) LoadRecord(ctx context.Context, link, key string) (datasync.Row, bool, error) {
	row, ok, err := s.Store.LoadRecord(ctx, link, key)
	if s.after != nil {
		s.after(link, key)
	}
	return row, ok, err
}

// family is a link of bills that refer to buyers, and what it runs over.
type family struct {
	store          *slowReader
	queue          *outbox.Queue
	buyers, bills  *datasync.Link
	shopB, booksB  *dovetailtest.System[buyer]
	shopI, booksI  *dovetailtest.System[bill]
	buyer, billKey string
}

// newFamily has one bill and its buyer read from the shop, and nothing written.
func newFamily(t *testing.T) *family {
	t.Helper()
	f := &family{
		store: &slowReader{Store: memstore.New()},
		shopB: dovetailtest.NewSystem[buyer]("shop"), booksB: dovetailtest.NewSystem[buyer]("books"),
		shopI: dovetailtest.NewSystem[bill]("shop"), booksI: dovetailtest.NewSystem[bill]("books"),
	}
	alerts, err := alert.New(alert.Config{AllowSilence: true})
	require.NoError(t, err)
	f.queue, err = outbox.New(outbox.Config{Store: f.store, Alerts: alerts})
	require.NoError(t, err)
	can := f.shopB.Capabilities()
	f.buyers, err = datasync.New(datasync.Config[buyer]{
		Name:    "buyers",
		Systems: []datasync.System[buyer]{{Name: "shop", Endpoint: f.shopB, Can: can}, {Name: "books", Endpoint: f.booksB, Can: can}},
		Fields:  ownership.Rules{"email": ownership.By("shop")}, Exists: ownership.By("shop"), Match: []string{"email"},
		Store: f.store, Queue: f.queue, Alerts: alerts,
	})
	require.NoError(t, err)
	f.bills, err = datasync.New(datasync.Config[bill]{
		Name:       "bills",
		Systems:    []datasync.System[bill]{{Name: "shop", Endpoint: f.shopI, Can: can}, {Name: "books", Endpoint: f.booksI, Can: can}},
		Fields:     ownership.Rules{"number": ownership.By("shop"), "buyer": ownership.By("shop")},
		Exists:     ownership.By("shop"),
		References: map[string]*datasync.Link{"buyer": f.buyers},
		Store:      f.store, Queue: f.queue, Alerts: alerts,
	})
	require.NoError(t, err)
	f.shopB.Put("c1", "ann", buyer{Email: "ann@x"})
	f.shopI.Put("o1", "ann", bill{Number: "N1", Buyer: "c1"})
	require.NoError(t, f.buyers.Poll(t.Context(), "shop"))
	require.NoError(t, f.bills.Poll(t.Context(), "shop"))
	f.buyer, f.billKey = f.keyOf(t, "buyers", "c1"), f.keyOf(t, "bills", "o1")
	return f
}

func (f *family) keyOf(t *testing.T, link, id string) string {
	t.Helper()
	refs, err := f.store.RecordRefs(t.Context(), link, dovetail.System("shop"), []string{id})
	require.NoError(t, err)
	require.Len(t, refs, 1)
	return refs[0].Key
}

func (f *family) waiting(t *testing.T, destination string) int64 {
	t.Helper()
	lags, err := f.queue.Lag(t.Context())
	require.NoError(t, err)
	for _, l := range lags {
		if l.Destination == destination {
			return l.Waiting
		}
	}
	return 0
}

// TestParentThatArrivesWhileItsChildBeginsToWait: the parent is created after the
// child has looked for it and before the child has noted that it waits. Nobody
// would wake the child.
func TestParentThatArrivesWhileItsChildBeginsToWait(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	f := newFamily(t)
	f.store.after = func(link, key string) {
		if link == "buyers" && key == f.buyer {
			f.store.after = nil
			require.NoError(t, f.buyers.Handle(ctx, "buyers/books", f.buyer))
		}
	}
	require.NoError(t, f.bills.Handle(ctx, "bills/books", f.billKey))
	require.Len(t, f.booksB.All(), 1)
	require.Len(t, f.booksI.All(), 1, "the bill waits for a buyer that is there, and nobody wakes it")
}

// TestParentThatIsFoundWakesItsChildren: a parent may also come to be in a system
// because somebody made it there by hand.
func TestParentThatIsFoundWakesItsChildren(t *testing.T) {
	t.Parallel()
	f := newFamily(t)
	require.NoError(t, f.bills.Handle(t.Context(), "bills/books", f.billKey))
	require.Empty(t, f.booksI.All())
	before := f.waiting(t, "bills/books")
	f.booksB.Put("b7", "bookkeeper", buyer{Email: "ann@x"})
	require.NoError(t, f.buyers.Poll(t.Context(), "books"))
	require.Equal(t, before+1, f.waiting(t, "bills/books"), "the bill waits for a buyer that is there, and nobody wakes it")
	require.NoError(t, f.bills.Handle(t.Context(), "bills/books", f.billKey))
	require.Len(t, f.booksI.All(), 1)
}
