package servers

import (
	"slices"
	"sync"
	"testing"
)

// A keeper stands for the test where a server outlives the test that needed it
// first: what that test would do at its end is done by Stop.
type keeper struct {
	testing.TB
	ends []func()
}

// Cleanup keeps f for Stop.
func (k *keeper) Cleanup(f func()) { k.ends = append(k.ends, f) }

// shared are the servers that the tests of one process use where none was running.
var shared struct {
	mu       sync.Mutex
	keeper   *keeper
	postgres *OwnPostgres
	mariadb  *OwnMariaDB
}

// sharedPostgres returns a server that runs until Stop.
func sharedPostgres(t testing.TB) *OwnPostgres {
	t.Helper()
	defer lockShared(t)()
	if shared.postgres == nil {
		shared.postgres = StartPostgres(shared.keeper)
	}
	return shared.postgres
}

// sharedMariaDB returns a server that runs until Stop, with the defaults of a new
// installation, which has no binary log. (With one, MariaDB 10.11.19 was seen to
// end with signal 11 after minutes of all the tests.)
func sharedMariaDB(t testing.TB) *OwnMariaDB {
	t.Helper()
	defer lockShared(t)()
	if shared.mariadb == nil {
		shared.mariadb = startMariaDB(shared.keeper, false)
	}
	return shared.mariadb
}

// lockShared has the keeper speak for t until it is unlocked.
func lockShared(t testing.TB) (unlock func()) {
	shared.mu.Lock()
	if shared.keeper == nil {
		shared.keeper = &keeper{}
	}
	shared.keeper.TB = t
	return shared.mu.Unlock
}

// Stop ends the servers that the tests of this process shared. A TestMain calls it
// when all of them have run.
func Stop() {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.keeper == nil {
		return
	}
	for _, end := range slices.Backward(shared.keeper.ends) {
		end()
	}
	shared.keeper, shared.postgres, shared.mariadb = nil, nil, nil
}
