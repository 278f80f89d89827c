package naive_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail/examples/storeaccounting/audit"
	"github.com/tectari/dovetail/examples/storeaccounting/naive"
	"github.com/tectari/dovetail/examples/storeaccounting/orders"
	"github.com/tectari/dovetail/examples/storeaccounting/world"
)

// TestTheAuditFindsWhatBreaks runs the naive sync through a short story. It
// works for most records, and breaks for others in each of the three ways.
func TestTheAuditFindsWhatBreaks(t *testing.T) {
	t.Parallel()
	all, _, err := orders.Sample()
	require.NoError(t, err)
	w, err := world.Open(context.Background(), world.Config{
		Dir: t.TempDir(), Orders: all[:300], Speed: 1500, Seed: 1, Secret: "whsec_c2VjcmV0",
	})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	sync := naive.New(naive.Config{StoreURL: w.StoreURL(), AccountingURL: w.AccountingURL(), Wall: w.Clock().Wall, Start: w.Start})
	ended := make(chan error, 1)
	go func() { ended <- sync.Run(ctx) }()
	<-w.Done()
	// It is given time to catch up: a slow machine leaves it behind.
	var report audit.Report
	require.Eventually(t, func() bool {
		report, err = audit.Run(ctx, audit.Config{StoreURL: w.StoreURL(), AccountingURL: w.AccountingURL()})
		return err != nil || report.Invoices > 10
	}, 2*time.Minute, 500*time.Millisecond, "it does work")
	require.NoError(t, err)
	stop()
	require.NoError(t, <-ended)
	require.NoError(t, w.Close())

	require.NotEmpty(t, report.Lost)
	require.NotEmpty(t, report.Duplicated)
	require.NotEmpty(t, report.Disagreeing)
	require.Positive(t, sync.Stats().Failed)
}
