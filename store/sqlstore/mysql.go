package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// MySQL is the dialect of MariaDB 10.6 or later and of MySQL 8 or later, with
// InnoDB. The order of a key rests on the ids of AUTO_INCREMENT, so all producers
// and relays use one server: not several nodes of a Galera cluster or a group at
// once, and no proxy that sends reads elsewhere.
//
// Every message is found however late its transaction commits, and in the order of
// its key. This takes no privilege where producers and relays use one account. Where
// they do not, grant the relays' account PROCESS: it is by the list of running
// statements that a relay knows of an insert that has been hanging for seconds
// between its id and its row. Without that, such a message is found by the relay's
// audit, seconds later and reported, and its order is not promised.
//
// A caller who enqueues with a DedupKey in a REPEATABLE READ transaction of his own
// can be told of a deadlock, as with any unique index, when two transactions insert
// several such keys in different orders. At READ COMMITTED, and in Queue.Tx, that
// does not happen or is repeated.
//
// Give the driver a readTimeout that is longer than your longest statement. Without
// one, a COMMIT whose connection died without a word waits until TCP gives up, and
// its relay with it: others take over its shards meanwhile.
var MySQL = Dialect{
	Name:   "mysql",
	base:   mysqlBase,
	outbox: mysqlOutbox,
	ledger: mysqlLedger,
	alert:  mysqlAlert,
}

// mysqlNow is the database's time in milliseconds since 1970. From UTC, since an
// hour of local time comes twice when summer time ends.
const mysqlNow = "timestampdiff(microsecond, '1970-01-01', utc_timestamp(3)) div 1000"

// mysqlBase is what the store itself needs of MySQL.
//
// READ COMMITTED: statements lock the rows that they touch and not the gaps between
// them, so relays and producers do not wait for each other. That acknowledging
// never deadlocks with inserting rests on it.
//
// Nothing is prepared ahead: preparing needs a second connection while the first
// holds a transaction, and where the pool is small, two of those wait for ever.
// interpolateParams=true spares the round trip.
var mysqlBase = baseSQL{
	migrations:   "mysql",
	isolation:    sql.LevelReadCommitted,
	busy:         mysqlBusy,
	placeholders: questionMarks,
	positional:   true,
	apply:        mysqlApply,

	createMigrations: `
CREATE TABLE IF NOT EXISTS dovetail_migration (
  number  BIGINT         NOT NULL,
  name    VARBINARY(255) NOT NULL,
  applied BIGINT         NOT NULL,
  PRIMARY KEY (number)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4`,
	listMigrations: `SELECT number FROM dovetail_migration`,
	recordMigration: `
INSERT INTO dovetail_migration (number, name, applied)
VALUES (?, ?, coalesce(?, ` + mysqlNow + `))
ON DUPLICATE KEY UPDATE number = VALUES(number)`,

	settings: []setting{
		{
			name: "version", query: "SELECT version()", ok: mysqlVersion,
			fix: "the statements need MariaDB 10.6 or MySQL 8.0: upgrade the server",
		},
		{
			name: "innodb_flush_log_at_trx_commit", query: "SELECT @@innodb_flush_log_at_trx_commit",
			ok:  func(v string) bool { return v == "1" || v == "3" },
			fix: "a commit would not survive a loss of power: SET GLOBAL innodb_flush_log_at_trx_commit = 1, and in the server's configuration",
		},
		{
			// InnoDB shows a commit before it is on disk, unless a binary log comes first.
			// After a crash such a commit may be gone and its ids are given again: what
			// was read under them and is acknowledged later would delete other messages.
			name: "log_bin", query: "SELECT @@log_bin",
			ok:  func(v string) bool { return v == "1" },
			fix: "a crash of the server may take back a message that was delivered and give its id to another one, which is then lost: start the server with log_bin and sync_binlog = 1",
		},
		{
			// With a binary log, recovery takes back what the log does not have.
			name: "sync_binlog", query: "SELECT CASE WHEN @@log_bin = 1 THEN @@sync_binlog ELSE 1 END",
			ok:  func(v string) bool { return v == "1" },
			fix: "a commit would not survive a loss of power: SET GLOBAL sync_binlog = 1, and in the server's configuration",
		},
		{
			name: "auto_increment_increment", query: "SELECT @@auto_increment_increment",
			ok:  func(v string) bool { return v == "1" },
			fix: "ids of several servers do not follow the order of commits: let all writers use one server and SET GLOBAL auto_increment_increment = 1 (in Galera wsrep_auto_increment_control = OFF)",
		},
		{
			name: "autocommit", query: "SELECT @@autocommit",
			ok:  func(v string) bool { return v == "1" },
			fix: "reads would see an old state for ever: open the database without autocommit=0",
		},
		{
			name: "sql_mode", query: "SELECT @@sql_mode",
			ok: func(v string) bool {
				return strings.Contains(v, "STRICT_TRANS_TABLES") || strings.Contains(v, "STRICT_ALL_TABLES")
			},
			fix: "what does not fit would be cut without an error: add STRICT_TRANS_TABLES",
		},
		{
			name: "character_set_client", query: "SELECT @@character_set_client",
			ok:  func(v string) bool { return v == "utf8mb4" },
			fix: "some texts would change on their way: open the database with charset=utf8mb4",
		},
		{
			name: "max_allowed_packet", query: "SELECT @@max_allowed_packet",
			ok: func(v string) bool {
				n, err := strconv.ParseInt(v, 10, 64)
				return err == nil && n >= 4*mysqlBytes
			},
			fix: "larger messages would be refused: SET GLOBAL max_allowed_packet = 16777216, and in the server's configuration",
		},
		{
			name: "tables that are not InnoDB",
			query: `
SELECT count(*) FROM information_schema.tables
WHERE table_schema = database() AND table_name LIKE 'dovetail_%' AND engine <> 'InnoDB'`,
			ok:  func(v string) bool { return v == "0" },
			fix: "nothing would be taken back with its transaction: ALTER TABLE … ENGINE=InnoDB",
		},
	},
}

// mysqlBusy reports that err is a deadlock (1213), a lock wait timeout (1205) or,
// in MariaDB, a row that changed under a snapshot (1020): the transaction may be
// repeated. Of drivers it knows the words alone.
func mysqlBusy(err error) bool {
	if err == nil {
		return false
	}
	text := err.Error()
	for _, words := range []string{
		"Error 1213", "Error 1205", "Error 1020",
		"Deadlock found when trying to get lock", "Lock wait timeout exceeded", "Record has changed since last read",
	} {
		if strings.Contains(text, words) {
			return true
		}
	}
	return false
}

// mysqlVersion reports whether a server is new enough: "10.11.6-MariaDB", "8.0.36".
func mysqlVersion(v string) bool {
	first, rest, _ := strings.Cut(v, ".")
	second, _, _ := strings.Cut(rest, ".")
	major, err := strconv.Atoi(first)
	if err != nil {
		return false
	}
	minor, _ := strconv.Atoi(second) // what is no number is 0
	if strings.Contains(v, "MariaDB") {
		return major > 10 || major == 10 && minor >= 6
	}
	return major >= 8
}

// The lock that migrations are made under. Names of locks belong to the server,
// not to a database, and have at most 64 characters.
const (
	mysqlLock   = `SELECT get_lock(concat('dovetail.', left(sha2(database(), 256), 40)), 60)`
	mysqlUnlock = `SELECT release_lock(concat('dovetail.', left(sha2(database(), 256), 40)))`
)

// mysqlApply runs m, one statement at a time, unless it is recorded already, and
// then records it. Changes of tables commit at once here, so every file can be run
// again, and what is recorded is complete. Of two processes one waits.
func mysqlApply(ctx context.Context, s *Store, m migration) (err error) {
	conn, err := s.db.Conn(ctx) // the lock belongs to the connection
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	var locked sql.NullInt64
	if err := conn.QueryRowContext(ctx, mysqlLock).Scan(&locked); err != nil {
		return fmt.Errorf("wait for another process: %w", err)
	}
	if locked.Int64 != 1 {
		return errors.New("another process has held the lock for a minute; see whether its migration hangs")
	}
	defer func() {
		var released sql.NullInt64
		err = errors.Join(err, conn.QueryRowContext(context.WithoutCancel(ctx), mysqlUnlock).Scan(&released))
	}()
	var applied bool
	const recorded = `SELECT EXISTS (SELECT 1 FROM dovetail_migration WHERE number = ?)`
	if err := conn.QueryRowContext(ctx, recorded, m.number).Scan(&applied); err != nil || applied {
		return err
	}
	for _, statement := range statementsOf(m.sql) {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	_, err = conn.ExecContext(ctx, s.dialect.base.recordMigration, m.number, m.name, s.clock())
	return err
}

// statementsOf splits a migration where a line ends with a semicolon. Comments go.
func statementsOf(text string) []string {
	var out []string
	var statement strings.Builder
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "--")
		line = strings.TrimRight(line, " \t\r\n")
		part, end := strings.CutSuffix(line, ";")
		if part != "" {
			statement.WriteString(part + "\n")
		}
		if end {
			out = append(out, statement.String())
			statement.Reset()
		}
	}
	if statement.Len() > 0 {
		out = append(out, statement.String())
	}
	return out
}
