package outboxtest

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail/dovetailtest"
	"github.com/tectari/dovetail/internal/integration/servers"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/sqlstore"
)

func TestMain(m *testing.M) {
	if text := os.Getenv(childEnv); text != "" {
		if err := childRelay(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	// Most tests here wait, for leases and servers.
	flag.Parse()
	if most := flag.Lookup("test.parallel"); most.Value.String() == most.DefValue {
		_ = most.Value.Set(strconv.Itoa(max(5, runtime.GOMAXPROCS(0)))) // a number
	}
	code := m.Run()
	servers.Stop()
	os.Exit(code)
}

// freshMySQL returns a store in a database of its own.
func freshMySQL(t testing.TB) *sqlstore.Store {
	t.Helper()
	s := sqlstore.New(servers.OpenMariaDB(t, servers.MariaDBDatabase(t)), sqlstore.MySQL)
	require.NoError(t, s.Migrate(t.Context()))
	verifyMySQL(t, s)
	return s
}

// verifyMySQL demands all of a server at hand but log_bin: a test that does not
// kill it does not need that.
func verifyMySQL(t testing.TB, s *sqlstore.Store) {
	t.Helper()
	if err := s.Verify(t.Context()); err != nil {
		require.ErrorContains(t, err, "log_bin is 0")
		require.Equal(t, 1, strings.Count(err.Error(), "; "), "%v", err)
	}
}

func TestOutboxStoreMySQL(t *testing.T) {
	t.Parallel()
	dovetailtest.RunOutboxStore(t, func(t *testing.T) outbox.Store { return freshMySQL(t) })
}

func TestOutboxStoreMySQLPrepared(t *testing.T) {
	t.Parallel()
	dovetailtest.RunOutboxStore(t, func(t *testing.T) outbox.Store {
		c := servers.MariaDBDatabase(t)
		c.InterpolateParams, c.ClientFoundRows = false, true
		s := sqlstore.New(servers.OpenMariaDB(t, c), sqlstore.MySQL)
		require.NoError(t, s.Migrate(t.Context()))
		return s
	})
}

func TestOperationLogMySQL(t *testing.T) {
	t.Parallel()
	dovetailtest.RunInboxStore(t, func(t *testing.T) outbox.Store { return freshMySQL(t) })
	dovetailtest.RunOperationLog(t, func(t *testing.T) outbox.Store { return freshMySQL(t) })
}
