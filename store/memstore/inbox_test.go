package memstore_test

import (
	"testing"

	"github.com/tectari/dovetail/dovetailtest"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/memstore"
)

func TestInboxStore(t *testing.T) {
	t.Parallel()
	dovetailtest.RunInboxStore(t, func(*testing.T) outbox.Store { return memstore.New() })
}
