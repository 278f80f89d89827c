package outboxtest

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail/internal/integration/servers"
	"github.com/tectari/dovetail/outbox"
)

// What happens to a database in its life, while the queue works.
var databaseScenarios = []scenario{
	{name: "database/killed-and-restarted-under-load", on: onServers, own: true, run: func(e *env) {
		var server interface {
			Kill()
			Start()
		}
		dsn := ""
		if e.kind == postgres {
			p := servers.StartPostgres(e.TB)
			server, dsn = p, p.URL()
		} else {
			m := servers.StartMariaDB(e.TB)
			server, dsn = m, m.DSN("queue")
			db, err := sql.Open("mysql", m.DSN(""))
			require.NoError(e, err)
			_, err = db.Exec("CREATE DATABASE queue")
			require.NoError(e, err)
			require.NoError(e, db.Close())
		}
		e = newEnvAt(e.TB, e.kind, dsn)
		e.lease = 3 * time.Second
		e.repeats = -1 // what was acknowledged in the last moment before the crash
		e.use()
		e.relay()
		o := e.office(4, 20)
		for range 2 {
			time.Sleep(time.Second)
			server.Kill()
			time.Sleep(200 * time.Millisecond)
			server.Start()
		}
		time.Sleep(500 * time.Millisecond)
		e.until("the database answers", func() bool { return e.db().Ping() == nil })
		require.Positive(e, o.close(), "the server was gone")
		// Acknowledgements of the last moment are not on disk: those messages are back.
		e.mayFind = true
		e.settled()
		require.LessOrEqual(e, e.events.count("outbox.found-behind"), e.again(), "nothing else was passed by")
	}},
	{name: "database/connections-are-killed-at-random", on: onServers, own: true, run: func(e *env) {
		dsn := place(e.TB, e.kind)
		if e.kind == postgres {
			dsn = with(dsn, "application_name", "killed")
		}
		e = newEnvAt(e.TB, e.kind, dsn)
		e.lease = 3 * time.Second
		e.use()
		e.relay()
		killer, _, err := connect(e.kind, strings.ReplaceAll(e.dsn, "killed", "killer"), nil)
		require.NoError(e, err)
		defer killer.Close()
		o := e.office(4, 20)
		for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			for i, id := range e.connections(killer) {
				if i%3 != 0 {
					continue
				}
				if e.kind == postgres {
					_, _ = killer.Exec("SELECT pg_terminate_backend($1)", id) // it may be gone
				} else {
					_, _ = killer.Exec(fmt.Sprint("KILL ", id)) // it may be gone
				}
			}
		}
		e.repeats = -1 // an acknowledgement may be repeated, and a lease may be lost
		require.Positive(e, o.close(), "connections were killed")
		e.settled()
	}},
	{name: "database/unreachable-for-a-while", on: onServers, run: func(e *env) {
		p := e.proxied()
		e.use()
		e.relay()
		e.many(50, 10)
		e.delivered()
		p.refuse(true)
		time.Sleep(700 * time.Millisecond)
		p.refuse(false)
		e.until("the database is back", func() bool { return e.db().Ping() == nil })
		e.many(50, 10)
		e.settled()
	}},
	{name: "database/connections-are-half-open", on: onServers, own: true, run: func(e *env) {
		dsn := place(e.TB, e.kind)
		if e.kind == mariadb { // as the dialect advises: nothing else bounds its COMMIT
			c, err := mysql.ParseDSN(dsn)
			require.NoError(e, err)
			c.ReadTimeout = 3 * time.Second
			dsn = c.FormatDSN()
		}
		e = newEnvAt(e.TB, e.kind, dsn)
		p := e.proxied()
		e.lease = time.Second
		e.repeats = -1            // the lease is lost meanwhile
		e.db().SetMaxIdleConns(2) // each costs a timeout, one after the other
		e.use()
		e.relay()
		e.many(50, 10)
		e.delivered()
		e.until("the relay only reads", func() bool { return e.rows() == 0 })
		p.stall() // for good: those connections never say anything again
		direct := e.queue(e.open(e.dsn, &tap{}))
		for range 50 {
			m := outbox.Message{ID: e.name(), To: "a", Key: "k"}
			require.NoError(e, direct.Tx(e.Context(), func(ctx context.Context, tx outbox.Tx) error { return direct.Enqueue(ctx, tx, m) }))
			e.record.commit(m)
		}
		e.delivered()
		require.Empty(e, e.verdict())
	}},
	{name: "database/slow", run: func(e *env) {
		e.use()
		e.tap.on(&fault{words: []string{"dovetail_"}, before: func(context.Context, rawConn) error {
			time.Sleep(20 * time.Millisecond)
			return nil
		}})
		e.relay()
		o := e.office(4, 10)
		time.Sleep(time.Second)
		require.Zero(e, o.close(), "%v", o.last)
		e.settled()
	}},
	{name: "database/disk-full-while-settling", run: func(e *env) {
		e.use()
		e.relay()
		e.tap.on(fails(0, writing))
		e.many(300, 20)
		e.until("it was tried", func() bool { return e.events.count("outbox.relay") > 3 })
		require.Equal(e, 300, e.rows(), "nothing could be deleted")
		e.tap.clear()
		e.many(50, 20)
		e.settled() // none came twice
	}},
	{name: "database/sequence-jumps-ahead", run: func(e *env) {
		e.use()
		e.relay()
		e.many(20, 4)
		e.sequence(1_000_000_000)
		e.many(20, 4)
		e.delivered()
		e.sequence(3_000_000_000)
		e.many(20, 4)
		e.settled()
	}},
	{name: "database/sequence-goes-back", run: func(e *env) {
		e.mayFind = true // after such a mistake only the audit finds them
		e.use()
		e.sequence(1_000_000)
		e.relay()
		e.many(20, 4)
		e.delivered()
		e.until("all is acknowledged", func() bool { return e.rows() == 0 })
		e.sequence(1000)
		e.many(20, 4)
		e.settled()
		// The others may still look into the ids that were skipped, or do not go back.
		if e.kind == sqlite {
			require.Positive(e, e.events.count("outbox.found-behind"), "and it is told")
		}
	}},
	{name: "database/dumped-and-restored", run: func(e *env) {
		e.use()
		e.many(100, 9)
		e.send(outbox.Message{Key: "later", Due: time.Now().Add(time.Second)})
		e.answers("a", refuses("bad"))
		e.openTx().send(outbox.Message{ID: "bad", Key: "bad"}).commit()
		r := e.relay()
		e.letters(1)
		r.end()
		e.answers("a", nil)
		e.many(100, 9)
		e.openTx().put("gone").rollback()
		fresh := newEnvAt(e.TB, e.kind, e.restored())
		fresh.record = e.record
		fresh.use()
		fresh.relay()
		_, err := fresh.q.Replay(e.Context(), outbox.Filter{}, "ana")
		require.NoError(e, err)
		fresh.many(50, 9)
		fresh.settled()
	}},
	{name: "database/an-old-transaction-and-1000-rollbacks", on: onServers, run: func(e *env) {
		e.use()
		e.relay()
		e.exec("CREATE TABLE unrelated (n integer)")
		pin := e.openTx().exec("INSERT INTO unrelated VALUES (1)")
		open := e.openTx().put("open") // and one that has stored a message
		for i := range 1000 {
			e.openTx().put("gone").rollback()
			if i%10 == 0 {
				e.put("k")
			}
		}
		e.delivered()
		open.commit()
		e.delivered()
		pin.rollback()
		e.put("k", "open")
		e.settled()
	}},
	{name: "database/a-pool-of-one-connection", run: func(e *env) {
		e.db().SetMaxOpenConns(1)
		e.use()
		e.relay()
		o := e.office(4, 10)
		time.Sleep(time.Second)
		require.Zero(e, o.close(), "%v", o.last)
		e.put("k")
		e.settled()
	}},
	{name: "database/the-business-takes-the-whole-pool", on: onServers, run: func(e *env) {
		e.db().SetMaxOpenConns(4)
		e.use()
		e.relay()
		e.many(50, 5)
		e.delivered()
		var held []*txn
		for range 4 {
			held = append(held, e.openTx().put("held"))
		}
		time.Sleep(time.Second)
		for _, x := range held[1:] {
			x.rollback()
		}
		held[0].commit()
		e.many(50, 5)
		e.settled()
	}},
	{name: "database/maintained-under-load", run: func(e *env) {
		e.use()
		e.relay()
		o := e.office(4, 20)
		for range 4 {
			switch e.kind {
			case postgres:
				e.maintain("VACUUM FULL dovetail_message", "REINDEX TABLE dovetail_parked", "REINDEX TABLE dovetail_message", "VACUUM ANALYZE dovetail_message")
			case mariadb:
				e.maintain("ANALYZE TABLE dovetail_message, dovetail_parked", "OPTIMIZE TABLE dovetail_parked")
			default:
				e.maintain("REINDEX", "ANALYZE")
			}
			time.Sleep(200 * time.Millisecond)
		}
		require.Zero(e, o.close(), "%v", o.last)
		e.settled()
	}},
	{name: "database/statistics-that-lie", run: func(e *env) {
		e.patience = 4 * time.Minute // SQLite is Go code: the race detector slows it ten times
		e.use()
		switch e.kind {
		case mariadb:
			e.exec("ANALYZE TABLE dovetail_message, dovetail_parked, dovetail_dedup")
		case postgres:
			e.exec("ANALYZE dovetail_message, dovetail_parked, dovetail_dedup")
		default:
			e.exec("ANALYZE")
		}
		var msgs []outbox.Message
		for i := range 20_000 {
			msgs = append(msgs, outbox.Message{Key: fmt.Sprint("k", i%1000)})
		}
		e.send(msgs...)
		e.answers("a", stumbles(1, func(d outbox.Delivery) error {
			if hash(d.ID)%300 == 0 {
				return outbox.Defer(time.Millisecond, "later")
			}
			return nil
		}))
		e.relay()
		e.settled()
	}},
}

// connections lists the connections to the database of the env but for those of
// the pool that asks.
func (e *env) connections(db *sql.DB) (out []int) {
	e.Helper()
	query := "SELECT id FROM information_schema.processlist WHERE db = database() AND id <> connection_id()"
	if e.kind == postgres {
		query = "SELECT pid FROM pg_stat_activity WHERE application_name = 'killed'"
	}
	rows, err := db.Query(query)
	require.NoError(e, err)
	defer rows.Close()
	for rows.Next() {
		var id int
		require.NoError(e, rows.Scan(&id))
		out = append(out, id)
	}
	require.NoError(e, rows.Err())
	return out
}

// maintain runs statements of an operator, until the database lets it: what locks
// whole tables may be what a deadlock is broken with.
func (e *env) maintain(statements ...string) {
	e.Helper()
	for _, query := range statements {
		e.until(query, func() bool {
			_, err := e.db().Exec(query)
			return err == nil
		})
	}
}

// sequence sets the next id.
func (e *env) sequence(n int64) {
	e.Helper()
	switch e.kind {
	case postgres:
		e.exec(fmt.Sprintf("SELECT setval('dovetail_message_id', %d)", n))
	case mariadb:
		e.exec(fmt.Sprintf("ALTER TABLE dovetail_message AUTO_INCREMENT = %d", n))
	default:
		e.exec("DELETE FROM sqlite_sequence WHERE name = 'dovetail_message'")
		e.exec(fmt.Sprintf("INSERT INTO sqlite_sequence (name, seq) VALUES ('dovetail_message', %d)", n))
	}
}

// restored dumps the database into a file and makes a new one from it.
func (e *env) restored() string {
	e.Helper()
	file := filepath.Join(e.TempDir(), "dump")
	tool := func(name string, args ...string) {
		out, err := exec.Command(name, args...).CombinedOutput()
		require.NoError(e, err, "%s: %s", name, out)
	}
	switch e.kind {
	case postgres:
		bin, into := servers.PostgresBinaries(), servers.PostgresDatabase(e.TB)
		from, err := url.Parse(e.dsn)
		require.NoError(e, err)
		query := from.Query()
		schema := query.Get("search_path")
		query.Del("search_path") // the tools do not know it
		from.RawQuery = query.Encode()
		tool(filepath.Join(bin, "pg_dump"), "-Fc", "-n", schema, "-f", file, from.String())
		tool(filepath.Join(bin, "pg_restore"), "-d", into, file)
		return with(into, "search_path", schema)
	case mariadb:
		from, err := mysql.ParseDSN(e.dsn)
		require.NoError(e, err)
		into, err := mysql.ParseDSN(place(e.TB, mariadb))
		require.NoError(e, err)
		at := []string{"--no-defaults", "--socket=" + from.Addr, "--user=" + from.User}
		if from.Net == "tcp" {
			host, port, _ := strings.Cut(from.Addr, ":")
			at = []string{"--no-defaults", "--host=" + host, "--port=" + port, "--user=" + from.User, "--password=" + from.Passwd}
		}
		tool("mariadb-dump", append(at, "--result-file="+file, from.DBName)...)
		f, err := os.Open(file)
		require.NoError(e, err)
		defer f.Close()
		cmd := exec.Command("mariadb", append(at, into.DBName)...)
		cmd.Stdin = f
		out, err := cmd.CombinedOutput()
		require.NoError(e, err, "%s", out)
		return into.FormatDSN()
	default:
		e.exec("VACUUM INTO '" + file + "'")
		return file
	}
}
