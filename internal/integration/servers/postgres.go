package servers

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/google/uuid"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver
	"github.com/stretchr/testify/require"
)

// PostgresURL returns where a Postgres is: the one that DOVETAIL_POSTGRES_URL
// names, else the one on the standard port, else one that is started from the
// installed binaries and ended by Stop. A test without any is skipped.
func PostgresURL(t testing.TB) string {
	t.Helper()
	if at := os.Getenv("DOVETAIL_POSTGRES_URL"); at != "" {
		return at
	}
	const local = "postgres://postgres@127.0.0.1:5432/test?sslmode=disable"
	if err := ping("pgx", local); err == nil {
		return local
	}
	if PostgresBinaries() == "" {
		t.Skip("no Postgres: set DOVETAIL_POSTGRES_URL, start one on 127.0.0.1:5432, or install the package postgresql")
	}
	return sharedPostgres(t).URL()
}

// ping tries to connect.
func ping(driver, dsn string) error {
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }() // nothing was done on it
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	return db.PingContext(ctx)
}

// Postgres returns the URL of a schema of the test's own, which is dropped at its
// end.
func Postgres(t testing.TB) string {
	t.Helper()
	return PostgresSchema(t, PostgresURL(t))
}

// PostgresSchema makes a schema on the server at a URL and returns the URL that
// leads into it.
func PostgresSchema(t testing.TB, at string) string {
	t.Helper()
	name := "dovetail_" + uuid.NewString()[:13]
	db, err := sql.Open("pgx", at)
	require.NoError(t, err)
	db.SetMaxIdleConns(-1) // a property has hundreds of schemas, and a server as many connections
	_, err = db.Exec(fmt.Sprintf(`CREATE SCHEMA %q`, name))
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if _, err := db.ExecContext(ctx, fmt.Sprintf(`DROP SCHEMA %q CASCADE`, name)); err != nil {
			t.Logf("drop schema %s: %v", name, err) // the server may be gone, and its data with it
		}
		_ = db.Close() // nothing is left to be done on it
	})
	u, err := url.Parse(at)
	require.NoError(t, err)
	q := u.Query()
	q.Set("search_path", name)
	u.RawQuery = q.Encode()
	return u.String()
}

// OpenPostgres opens a database/sql pool.
func OpenPostgres(t testing.TB, at string) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", at)
	require.NoError(t, err)
	db.SetConnMaxIdleTime(time.Second)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// PostgresDatabase returns the URL of a database of the test's own, which is
// dropped at its end: for what a schema is too little.
func PostgresDatabase(t testing.TB) string {
	t.Helper()
	at := PostgresURL(t)
	name := "dovetail_" + uuid.NewString()[:13]
	db := OpenPostgres(t, at)
	_, err := db.Exec(fmt.Sprintf(`CREATE DATABASE %q`, name))
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if _, err := db.ExecContext(ctx, fmt.Sprintf(`DROP DATABASE %q WITH (FORCE)`, name)); err != nil {
			t.Logf("drop database %s: %v", name, err) // the server may be gone, and its data with it
		}
	})
	u, err := url.Parse(at)
	require.NoError(t, err)
	u.Path = "/" + name
	return u.String()
}
