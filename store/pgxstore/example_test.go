package pgxstore_test

import (
	"fmt"

	"github.com/tectari/dovetail/store/pgxstore"
)

// With a pool, outbox.Config{Bell: bell} wakes the relays of other processes
// within a millisecond of a commit. Without one, the error says what to write.
func ExampleNewBell() {
	_, err := pgxstore.NewBell(pgxstore.BellConfig{})
	fmt.Println(err)
	// Output: pgxstore: PGX001 BellConfig.Pool: required; pgxpool.New(ctx, url)
}
