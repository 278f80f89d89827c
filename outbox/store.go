package outbox

import (
	"context"
	"encoding/binary"
	"hash/fnv"
	"time"

	"github.com/tectari/dovetail"
)

// Shards is how many shards each destination has. A message's shard follows from
// its lane (or its ID), so that the messages of one lane have one owner.
const Shards = 64

// A Tx is the transaction that a message is enqueued in: a *sql.Tx, memstore's,
// or an adapter's. A Store refuses with ErrForeignTx what it does not know.
type Tx interface {
	Commit() error
	Rollback() error
}

// A Store keeps the queue. Package store/sqlstore and store/memstore have one;
// dovetailtest.RunOutboxStore is its contract. All methods are safe for
// concurrent use, by several processes where the store is shared. Time that
// decides between processes is the store's own.
//
// A message is in one of two places: waiting (the zero State) or parked. Both
// know it by its Seq, which grows in the order of commits within a lane.
type Store interface {
	// Transact runs fn in a transaction of the store and commits when it returns
	// nil. It may run fn again when the database asks for that.
	Transact(ctx context.Context, fn func(ctx context.Context, tx Tx) error) error
	// InsertMessages stores entries in tx: as Scheduled those whose Due is in the
	// future, as waiting the others. It returns the indexes of those that it left
	// out because their DedupKey was seen for their destination.
	InsertMessages(ctx context.Context, tx Tx, entries []Entry) (duplicates []int, err error)
	// LeaseShards, in one transaction, registers or renews a relay, takes in what
	// it gives up, frees the shards of relays whose time is over, and hands free
	// shards to the relay up to its fair share. For each shard handed out, the
	// first Behind entry of every lane without one that is Retrying or Deferred
	// becomes Retrying and due. It returns ErrLeaseLost when the relay was
	// registered before and is not any more.
	LeaseShards(ctx context.Context, req LeaseRequest) (Lease, error)
	// ReadMessages returns waiting entries after a position, by Seq, and where to
	// go on. An entry that becomes visible late, behind the position, is
	// returned by a later call whatever destinations that one asks for, before
	// any entry of its lane with a higher Seq.
	ReadMessages(ctx context.Context, q ReadQuery) (Page, error)
	// DueMessages returns parked entries that are Scheduled, Retrying or Deferred
	// and due, earliest first.
	DueMessages(ctx context.Context, wants []Want) ([]Entry, error)
	// LaneMessages returns the first Behind entries of a lane, by Seq, that come
	// before any Retrying or Deferred one.
	LaneMessages(ctx context.Context, destination, lane string, limit int) ([]Entry, error)
	// SettleMessages writes results, in one transaction: first Done, then Park,
	// then Drop. It keeps nothing of s: its slices are used again.
	SettleMessages(ctx context.Context, s Settlement) (Settled, error)

	Desk
}

// A Desk is the part of a Store that people and monitors use.
type Desk interface {
	// QueueStatus says how things stand per destination, looking at no more than
	// limit waiting and limit parked entries, oldest first.
	QueueStatus(ctx context.Context, limit int) ([]Status, error)
	// DeadLetters returns what the filter selects, by Seq.
	DeadLetters(ctx context.Context, f Filter) ([]DeadLetter, error)
	// OperateQueue does what op says and records it, in one transaction. After a
	// replay or discard, the first Behind entry of each lane touched without one
	// that is Retrying or Deferred becomes Retrying and due.
	OperateQueue(ctx context.Context, op Operation) (Operated, error)
}

// A State says where an entry stands.
type State uint8

// The states. The zero State is waiting, and every other one is parked. The
// numbers are stored.
const (
	Waiting   State = 0
	Scheduled State = 1 // not due yet; does not hold up its lane
	Retrying  State = 2 // failed, to be tried again
	Behind    State = 3 // waits for an earlier one of its lane
	Dead      State = 4 // a dead letter
	Doubtful  State = 5 // in doubt
	Deferred  State = 6 // its handler asked to wait
)

// An Entry is a message as it is stored.
type Entry struct {
	Message
	// Seq is given by the store.
	Seq   int64
	Shard int
	// Lane is what order is kept in; "" for none.
	Lane     string
	Enqueued time.Time
	State    State
	Attempts int
	Replays  int
	// Waits says that an earlier entry of the lane is Retrying, Deferred or
	// Behind; Stops, that one is Dead or Doubtful.
	Waits, Stops bool
}

// A LeaseRequest is what a relay asks for. A zero TTL ends the relay: all of its
// shards are free at once.
type LeaseRequest struct {
	Relay string
	// Renew: the relay was registered before.
	Renew        bool
	TTL          time.Duration
	Destinations []string
	// Release is the shards the relay gives up, as bits, per destination.
	Release map[string]uint64
	// Forget, if not zero, removes deduplication keys that are older, a bounded
	// number at a time.
	Forget time.Duration
}

// A Lease is what a relay was granted.
type Lease struct {
	// Owned is all that the relay owns now, Fresh what of it was handed out by
	// this call, as bits, per destination.
	Owned, Fresh map[string]uint64
	// Excess is how many shards the relay has above its fair share.
	Excess map[string]int
	// Paused is which destinations a person has paused.
	Paused map[string]Pause
}

// A Want selects the entries of some shards of a destination.
type Want struct {
	Destination string
	Shards      uint64
	Limit       int
}

// A Position is how far a reader has come. The zero Position is the beginning.
type Position struct {
	// After is the highest Seq that was examined.
	After int64
	// State belongs to the store, which keeps there what it must look at again.
	State any
}

// A ReadQuery asks for waiting entries: at most Limit of them, and no more after
// Bytes of payload, but at least one.
type ReadQuery struct {
	Position Position
	Wants    []Want // their Limits do not matter
	Limit    int
	Bytes    int
}

// A Page is the answer to a ReadQuery.
type Page struct {
	Entries []Entry
	// Position is where to go on; its After is the highest Seq that was examined,
	// also among entries that were not wanted.
	Position Position
	// More says that there may be more now.
	More bool
}

// A Parking moves an entry to the parked ones, or changes it there.
type Parking struct {
	Seq         int64
	Destination string
	Shard       int
	State       State
	// Wait is when it is due, from now by the store's clock.
	Wait     time.Duration
	Attempts int
	Class    dovetail.Class
	Code     string
	Field    string
	Error    string
	// Stops: it is parked as Behind because the store said that a Dead or Doubtful
	// entry stops the lane.
	Stops bool
}

// A Drop removes parked entries of a lane that a newer one replaces: those before
// a Seq that are Retrying, Deferred or Behind, or, if Dead, those that are Dead.
type Drop struct {
	Destination string
	Shard       int
	Lane        string
	Before      int64
	Dead        bool
}

// A Settlement is results to be written. Done may be applied by anyone, any
// number of times; Park and Drop only by the owner of the shard. A relay that does
// not own a shard any more may so delete what its owner has parked or is about to
// park, and the rest of the lane must not wait for that: where Done deletes parked
// entries of a shard that Relay does not own, and where Park does not find an
// entry, the first Behind entry of every lane of the shard without one that is
// Retrying or Deferred becomes Retrying and due, as at a takeover. And where Park
// parks an entry with Stops, behind nothing any more since a person has settled
// what stopped it, that is or becomes Retrying and due.
type Settlement struct {
	Relay string
	Done  []int64
	Park  []Parking
	Drop  []Drop
}

// Settled is what came of a Settlement.
type Settled struct {
	// Refused lists the Seqs of parkings of shards that the relay does not own.
	Refused []int64
	// Dropped counts what Drop removed.
	Dropped int
}

// shardOf returns the shard of a lane, or of a message that has none.
func shardOf(destination, lane, id string) int {
	h := fnv.New64a()
	text := lane
	if lane == "" {
		text = id
	}
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(destination)))
	_, _ = h.Write(n[:]) // a hash never fails
	_, _ = h.Write([]byte(destination))
	_, _ = h.Write([]byte(text))
	sum := h.Sum64()
	return int((sum ^ sum>>32) % Shards)
}
