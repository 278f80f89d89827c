package sqlstore

import (
	"database/sql"
	"errors"
	"strings"
)

// postgresNow is the database's time in milliseconds since 1970.
const postgresNow = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"

// postgresBase is what the store itself needs of Postgres.
var postgresBase = baseSQL{
	migrations: "postgres",
	alone:      true,
	foreignTx:  true,
	// Each statement sees what was committed before it, and a fence that waited
	// sees what it waited for.
	isolation: sql.LevelReadCommitted,
	busy:      postgresBusy,

	// Two processes that create it at once would meet in the catalogue.
	createMigrations: `
DO $$ BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('dovetail_migration ' || current_schema()));
  CREATE TABLE IF NOT EXISTS dovetail_migration (
    number  integer PRIMARY KEY,
    name    text    NOT NULL,
    applied bigint  NOT NULL
  );
END $$`,
	listMigrations: `SELECT number FROM dovetail_migration`,
	recordMigration: `
INSERT INTO dovetail_migration (number, name, applied)
VALUES ($1, $2, coalesce($3::bigint, ` + postgresNow + `))
ON CONFLICT (number) DO NOTHING`,

	settings: []setting{
		{
			name: "server_version_num", query: "SELECT current_setting('server_version_num')",
			ok:  func(v string) bool { return len(v) >= 6 && v >= "130000" },
			fix: "use Postgres 13 or later: the queue needs pg_current_snapshot",
		},
		{
			name: "synchronous_commit", query: "SELECT current_setting('synchronous_commit')",
			ok:  func(v string) bool { return v != "off" },
			fix: "a commit would not survive a crash of the server: set it to on for the database, or for the role of this connection",
		},
		{
			name: "fsync", query: "SELECT current_setting('fsync')",
			ok:  func(v string) bool { return v == "on" },
			fix: "a crash may corrupt the database: turn it on",
		},
		{
			name: "full_page_writes", query: "SELECT current_setting('full_page_writes')",
			ok:  func(v string) bool { return v == "on" },
			fix: "a loss of power may corrupt the database: turn it on",
		},
		{
			name: "server_encoding", query: "SELECT current_setting('server_encoding')",
			ok:  func(v string) bool { return v == "UTF8" },
			fix: "texts could not be stored as they are: create the database with ENCODING 'UTF8'",
		},
		{
			name: "cache of dovetail_message_id", query: "SELECT seqcache::text FROM pg_sequence WHERE seqrelid = 'dovetail_message_id'::regclass",
			ok:  func(v string) bool { return v == "1" },
			fix: "ids would not come in order: ALTER SEQUENCE dovetail_message_id CACHE 1",
		},
	},
}

// postgresBusy reports that Postgres took a transaction back for the sake of
// another: a serialization failure or a deadlock. Every driver's error knows its
// SQLSTATE.
func postgresBusy(err error) bool {
	coder, ok := errors.AsType[interface {
		error
		SQLState() string
	}](err)
	return ok && (coder.SQLState() == "40001" || coder.SQLState() == "40P01")
}

// postgresArray is a list as a Postgres array literal, which every driver passes on.
func postgresArray[T any](values []T, text func(*strings.Builder, T)) string {
	var b strings.Builder
	b.Grow(16 * len(values))
	b.WriteByte('{')
	for i, v := range values {
		if i > 0 {
			b.WriteByte(',')
		}
		text(&b, v)
	}
	b.WriteByte('}')
	return b.String()
}

// quoted writes a text as an element of an array literal.
func quoted(b *strings.Builder, s string) {
	b.WriteByte('"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte('"')
}
