package memstore_test

import (
	"testing"

	"github.com/tectari/dovetail/dovetailtest"
	"github.com/tectari/dovetail/store/memstore"
	datasync "github.com/tectari/dovetail/sync"
)

func TestSyncStore(t *testing.T) {
	t.Parallel()
	dovetailtest.RunSyncStore(t, func(*testing.T) datasync.Store { return memstore.New() })
}
