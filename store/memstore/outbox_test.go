package memstore_test

import (
	"testing"

	"github.com/tectari/dovetail/dovetailtest"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/memstore"
)

func TestOutboxStore(t *testing.T) {
	t.Parallel()
	dovetailtest.RunOutboxStore(t, func(*testing.T) outbox.Store { return memstore.New() })
}

func TestOperationLog(t *testing.T) {
	t.Parallel()
	dovetailtest.RunOperationLog(t, func(*testing.T) outbox.Store { return memstore.New() })
}
