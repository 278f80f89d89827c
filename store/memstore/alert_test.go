package memstore_test

import (
	"testing"

	"github.com/tectari/dovetail/alert"
	"github.com/tectari/dovetail/dovetailtest"
	"github.com/tectari/dovetail/store/memstore"
)

func TestAlertStore(t *testing.T) {
	t.Parallel()
	dovetailtest.RunAlertStore(t, func(*testing.T) alert.Store { return memstore.New() })
}
