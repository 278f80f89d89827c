package sqlstore_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/tectari/dovetail/store/sqlstore"
)

// With a database, opened through a driver of your choice:
//
//	db, err := sql.Open("sqlite", "file:dovetail.db?_pragma=busy_timeout(10000)"+
//		"&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate")
//	store := sqlstore.New(db, sqlstore.SQLite)
//	err = store.Migrate(ctx) // makes the tables
//	err = store.Verify(ctx)  // names settings that would void a promise
//
// Nothing is done before the first call, and a store that was set up wrongly says
// so then.
func ExampleNew() {
	store := sqlstore.New(nil, sqlstore.SQLite)
	err := store.Migrate(context.Background())
	fmt.Println(errors.Is(err, sqlstore.ErrNoDB), err)
	// Output: true sqlstore: no database; the *sql.DB is nil
}
