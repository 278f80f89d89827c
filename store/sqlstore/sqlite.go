package sqlstore

import (
	"errors"
	"strings"
)

// sqliteNow is the database's time in milliseconds since 1970.
const sqliteNow = "cast(round(unixepoch('subsec') * 1000) as integer)"

// sqliteBase is what the store itself needs of SQLite.
var sqliteBase = baseSQL{
	migrations:   "sqlite",
	oneWriter:    true,
	prepare:      true,
	busy:         sqliteBusy,
	placeholders: questionMarks,

	savepoint:  `SAVEPOINT dovetail_share`,
	rollbackTo: `ROLLBACK TO dovetail_share`,
	release:    `RELEASE dovetail_share`,

	createMigrations: `
CREATE TABLE IF NOT EXISTS dovetail_migration (
  number  INTEGER PRIMARY KEY,
  name    TEXT    NOT NULL,
  applied INTEGER NOT NULL
) STRICT`,
	listMigrations: `SELECT number FROM dovetail_migration`,
	recordMigration: `
INSERT INTO dovetail_migration (number, name, applied)
VALUES (?, ?, coalesce(?, ` + sqliteNow + `))
ON CONFLICT (number) DO NOTHING`,

	settings: []setting{
		{
			name: "journal_mode", query: "PRAGMA journal_mode",
			ok:  func(v string) bool { return strings.EqualFold(v, "wal") || strings.EqualFold(v, "memory") },
			fix: "a reader would block every commit: open the database with _pragma=journal_mode(WAL)",
		},
		{
			name: "synchronous", query: "PRAGMA synchronous",
			ok:  func(v string) bool { return v == "2" || v == "3" },
			fix: "a commit would not survive a loss of power: open the database with _pragma=synchronous(FULL)",
		},
		{
			name: "busy_timeout", query: "PRAGMA busy_timeout",
			ok:  func(v string) bool { return v != "0" },
			fix: "a second writer would fail at once: open the database with _pragma=busy_timeout(10000)",
		},
	},
}

// sqliteBusy reports that err is SQLITE_BUSY or SQLITE_LOCKED (or one of their
// extended codes), in the words of whichever driver is used. It is the one place
// that knows about drivers.
func sqliteBusy(err error) bool {
	if err == nil {
		return false
	}
	var coder interface{ Code() int } // modernc.org/sqlite
	if errors.As(err, &coder) {
		code := coder.Code() & 0xff
		return code == 5 || code == 6
	}
	text := err.Error()
	return strings.Contains(text, "database is locked") || strings.Contains(text, "database table is locked") ||
		strings.Contains(text, "SQLITE_BUSY")
}

// questionMarks returns n of them, separated by commas.
func questionMarks(_, n int) string {
	if n <= 0 {
		return ""
	}
	return strings.Repeat("?, ", n-1) + "?"
}
