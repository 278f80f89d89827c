package outboxtest

import (
	"context"
	"net/url"
	"sync"
	"syscall"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail/internal/integration/servers"
	"github.com/tectari/dovetail/outbox"
)

// What only Postgres has.
var postgresScenarios = []scenario{
	{name: "postgres/one-backend-is-killed", on: onPostgres, own: true, run: func(e *env) {
		// The server then ends all its connections and recovers by itself.
		e = newEnvAt(e.TB, postgres, servers.StartPostgres(e.TB).URL())
		e.lease = 3 * time.Second
		e.repeats = -1
		e.use()
		e.relay()
		o := e.office(4, 20)
		time.Sleep(500 * time.Millisecond)
		require.NoError(e, syscall.Kill(e.number("SELECT pg_backend_pid()"), syscall.SIGKILL))
		e.until("the server has recovered", func() bool { return e.db().Ping() == nil })
		time.Sleep(500 * time.Millisecond)
		require.Positive(e, o.close())
		e.mayFind = true // see database/killed-and-restarted-under-load
		e.settled()
		require.LessOrEqual(e, e.events.count("outbox.found-behind"), e.again(), "nothing else was passed by")
	}},
	{name: "postgres/statement-timeout", on: onPostgres, own: true, run: func(e *env) { e.lockedOut("statement_timeout") }},
	{name: "postgres/lock-timeout", on: onPostgres, own: true, run: func(e *env) { e.lockedOut("lock_timeout") }},
	{name: "postgres/idle-in-transaction-timeout", on: onPostgres, own: true, run: func(e *env) {
		e = newEnvAt(e.TB, postgres, with(place(e.TB, postgres), "idle_in_transaction_session_timeout", "300ms"))
		e.use()
		e.relay()
		x := e.openTx().put("k", "k")
		time.Sleep(700 * time.Millisecond)
		require.Error(e, x.tx.Commit(), "its connection is gone")
		e.many(30, 5)
		e.settled()
	}},
	{name: "postgres/read-only-for-a-while", on: onPostgres, own: true, run: func(e *env) {
		at := servers.PostgresDatabase(e.TB)
		u, err := url.Parse(at)
		require.NoError(e, err)
		operator := servers.OpenPostgres(e.TB, servers.PostgresURL(e.TB))
		operate := func(query string) {
			_, err := operator.Exec(query)
			require.NoError(e, err, query)
		}
		name := u.Path[1:]
		e = newEnvAt(e.TB, postgres, at)
		e.use()
		e.relay()
		e.many(30, 5)
		e.delivered()
		operate(`ALTER DATABASE "` + name + `" SET default_transaction_read_only = on`)
		operate(`SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '` + name + `'`)
		e.until("results cannot be written", func() bool { return e.events.count("outbox.relay") > 2 })
		operate(`ALTER DATABASE "` + name + `" RESET default_transaction_read_only`)
		operate(`SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '` + name + `'`)
		e.until("writers are let in", func() bool {
			_, err := e.db().Exec("CREATE TEMPORARY TABLE try (n integer)")
			return err == nil
		})
		e.many(30, 5)
		e.settled()
	}},
	{name: "postgres/behind-pgbouncer-in-transaction-mode", on: onPostgres, own: true, run: func(e *env) {
		e = newEnvAt(e.TB, postgres, servers.StartPgBouncer(e.TB, servers.PostgresDatabase(e.TB)))
		require.NoError(e, e.store.Verify(e.Context()))
		e.use()
		e.relay()
		e.relay()
		o := e.office(6, 20)
		time.Sleep(1500 * time.Millisecond)
		require.Zero(e, o.close(), "%v", o.last)
		e.answers("a", stumbles(2, func(outbox.Delivery) error { return notYet() }))
		e.many(100, 9)
		e.settled()
	}},
	// A process that is frozen within a transaction holds what all relays need to
	// take over from it.
	{name: "postgres/frozen-while-it-renews", on: onPostgres, run: func(e *env) { e.frozenWithin(renewing) }},
	{name: "postgres/frozen-while-it-parks", on: onPostgres, run: func(e *env) { e.frozenWithin(parking) }},
}

// frozenWithin freezes a relay before one of its statements, and has another one
// take over.
func (e *env) frozenWithin(words []string) {
	e.Helper()
	e.lease = time.Second
	e.repeats = -1
	e.use()
	frozen, free := &tap{}, make(chan struct{})
	thaw := sync.OnceFunc(func() { close(free) })
	defer thaw()
	f := &fault{words: words, before: func(context.Context, rawConn) error { <-free; return nil }}
	e.relayOn(e.open(e.dsn, frozen))
	e.many(20, 5)
	e.delivered()
	frozen.on(f)
	e.answers("a", stumbles(1, func(outbox.Delivery) error { return outbox.Defer(time.Millisecond, "later") }))
	e.many(20, 5)
	e.until("it is frozen", func() bool { return f.count() > 0 })
	e.relay()
	e.many(50, 5)
	e.delivered()
	thaw()
	frozen.clear()
	e.many(50, 5)
	e.settled()
}

// lockedOut lets a setting end what waits for an operator's lock on the table.
func (e *env) lockedOut(setting string) {
	e.Helper()
	at := place(e.TB, postgres)
	e = newEnvAt(e.TB, postgres, at)
	e.store = e.open(with(at, setting, "300ms"), e.tap)
	e.keeper = e.store
	operator := servers.OpenPostgres(e.TB, at)
	e.use()
	e.relay()
	e.many(50, 5)
	e.delivered()
	tx, err := operator.Begin()
	require.NoError(e, err)
	defer tx.Rollback()
	_, err = tx.Exec("LOCK TABLE dovetail_message IN ACCESS EXCLUSIVE MODE")
	require.NoError(e, err)
	e.until("the relay was refused", func() bool { return e.events.count("outbox.relay") > 2 })
	require.NoError(e, tx.Rollback())
	e.many(50, 5)
	e.settled()
}

// with adds a setting to a URL of Postgres.
func with(at, setting, value string) string { return at + "&" + setting + "=" + value }
