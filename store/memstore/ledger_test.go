package memstore_test

import (
	"testing"

	"github.com/tectari/dovetail/dovetailtest"
	"github.com/tectari/dovetail/idempotency"
	"github.com/tectari/dovetail/store/memstore"
)

func TestLedgerStore(t *testing.T) {
	t.Parallel()
	dovetailtest.RunLedgerStore(t, func(*testing.T) idempotency.Store { return memstore.New() })
}
