package outboxtest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail/dovetailtest"
	"github.com/tectari/dovetail/internal/integration/servers"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/sqlstore"
)

func freshPostgres(t testing.TB) *sqlstore.Store {
	t.Helper()
	s := sqlstore.New(servers.OpenPostgres(t, servers.Postgres(t)), sqlstore.Postgres)
	require.NoError(t, s.Migrate(t.Context()))
	require.NoError(t, s.Verify(t.Context()))
	return s
}

func TestOutboxStorePostgres(t *testing.T) {
	t.Parallel()
	dovetailtest.RunOutboxStore(t, func(t *testing.T) outbox.Store { return freshPostgres(t) })
	dovetailtest.RunInboxStore(t, func(t *testing.T) outbox.Store { return freshPostgres(t) })
	dovetailtest.RunOperationLog(t, func(t *testing.T) outbox.Store { return freshPostgres(t) })
}
