package outbox

import (
	"context"
	"fmt"
	"time"
)

// An Inbox is what a Store may implement besides: it remembers which messages a
// consumer has had. dovetailtest.RunInboxStore is its contract. Both methods are
// safe for concurrent use, by several processes where the store is shared.
type Inbox interface {
	// SeenMessage remembers in tx that a consumer has had the message with an ID,
	// and reports whether this is the first time. What tx does not commit is not
	// remembered. Of two transactions with the same consumer and ID, the one that
	// comes second waits until the other has ended, and then is first exactly if
	// that one was rolled back; where the database cannot wait, it fails. It is
	// never so that both are first and both commit. An answer of false leaves tx
	// usable. Consumer and ID are each up to 1,024 bytes and equal only if every
	// byte is: neither case nor trailing spaces are ignored. It returns an error
	// that wraps ErrForeignTx for a transaction that the store does not know.
	SeenMessage(ctx context.Context, tx Tx, consumer, id string) (first bool, err error)
	// ForgetMessages forgets what was remembered longer ago than age, by the
	// store's clock: the oldest first, at most limit of them, in a transaction of
	// its own that does not hold up SeenMessage for longer than that takes. It
	// returns how many.
	ForgetMessages(ctx context.Context, age time.Duration, limit int) (int, error)
}

// Once reports whether the consumer has this message for the first time, and
// remembers it in tx. Call it in the transaction of the effect: if it answers
// false, the effect is there already, so commit and acknowledge. A queue delivers
// a message again after a crash; with Once the effect happens once. The consumer
// is a name for the effect, so that several may follow one message, each once.
//
// A running relay on the same store forgets after Config.InboxFor. Where none
// runs, call Inbox.ForgetMessages now and then. It returns ErrInvalidMessage for
// an empty or unusable consumer or ID, and what the store returns.
func Once(ctx context.Context, tx Tx, inbox Inbox, consumer, id string) (first bool, err error) {
	if tx == nil {
		return false, fmt.Errorf("outbox: once: %w: nil", ErrForeignTx)
	}
	if consumer == "" || id == "" {
		return false, fmt.Errorf("outbox: once: %w: neither consumer nor ID may be empty", ErrInvalidMessage)
	}
	for _, t := range [...]namedText{{"consumer", consumer}, {"ID", id}} {
		if err := t.check(); err != nil {
			return false, fmt.Errorf("outbox: once: %w", err)
		}
	}
	first, err = inbox.SeenMessage(ctx, tx, consumer, id)
	if err != nil {
		return false, fmt.Errorf("outbox: once: message %s for %s: %w", id, consumer, err)
	}
	return first, nil
}

// The pace at which a relay forgets what an inbox remembers.
const (
	forgetLimit = 1000
	forgetSoon  = time.Second
)

// forgetSeen removes what the inbox has remembered long enough, a bounded number
// at a time.
func (r *relay) forgetSeen() error {
	now := time.Now()
	if r.q.inbox == nil || now.Before(r.nextSeen) {
		return nil
	}
	r.nextSeen = now.Add(forgetEvery)
	ctx, cancel := r.storeContext()
	defer cancel()
	n, err := r.q.inbox.ForgetMessages(ctx, r.q.config.InboxFor, forgetLimit)
	if err != nil {
		return fmt.Errorf("forget messages of the inbox: %w", err)
	}
	if n >= forgetLimit {
		r.nextSeen = now.Add(forgetSoon)
	}
	return nil
}
