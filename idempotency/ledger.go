package idempotency

import (
	"errors"
	"strings"
	"time"
	"unicode/utf8"
)

// A State is how far a write has come. The numbers are stored.
type State uint8

// The states. The zero State is none.
const (
	// Claimed: a worker has it, nothing is sent that is not settled.
	Claimed State = 1
	// Sending: a worker is about to send or has sent.
	Sending State = 2
	// Done: the outcome is known.
	Done State = 3
	// Doubt: something was sent and its outcome is not known.
	Doubt State = 4
)

var stateNames = [...]string{"none", "claimed", "sending", "done", "doubt"}

// String returns the state in lower case.
func (s State) String() string { return nameOf(stateNames[:], int(s)) }

// A Kind says what a key stands for. The numbers are stored.
type Kind uint8

// The kinds. The zero Kind is none.
const (
	// Record: made once, then changed as its source changes (Upserter.Upsert).
	Record Kind = 1
	// Once: a record that is made once in its life (Upserter.Create).
	Once Kind = 2
	// Operation: a side effect that happens once with one payload (Do).
	Operation Kind = 3
)

var kindNames = [...]string{"none", "record", "once", "operation"}

// String returns the kind in lower case.
func (k Kind) String() string { return nameOf(kindNames[:], int(k)) }

// A Verdict is the ledger's answer to a claim.
type Verdict uint8

// The verdicts. The zero Verdict is none, and nothing is sent for it.
const (
	// Won: the caller has the key. If the entry is in Doubt, that comes first.
	Won Verdict = iota + 1
	// Busy: another worker has it until Entry.LeaseUntil.
	Busy
	// Finished: it was done before, with what Entry says.
	Finished
	// Outdated: a newer version was written or is being written.
	Outdated
	// Reused: the key stands for another payload or kind.
	Reused
)

var verdictNames = [...]string{"none", "won", "busy", "finished", "outdated", "reused"}

// String returns the verdict in lower case.
func (v Verdict) String() string { return nameOf(verdictNames[:], int(v)) }

func nameOf(names []string, i int) string {
	if i < len(names) {
		return names[i]
	}
	return "unknown"
}

// A Ref is a record in the target system. The zero value is none.
type Ref struct {
	// ID is what the system calls the record.
	ID string
	// Version is the system's version of it, for conditional writes; "" where the
	// system has none or it is not known.
	Version string
}

// check returns why r cannot be kept: a text that not every database takes would
// otherwise be found out after the write, each time.
func (r Ref) check() error {
	switch {
	case r.ID == "":
		return errors.New("the target answered without the ID of a record")
	case !plain(r.ID) || !plain(r.Version):
		return errors.New("the target answered with an ID or a version that is not UTF-8 or holds a NUL")
	}
	return nil
}

func plain(text string) bool { return utf8.ValidString(text) && !strings.ContainsRune(text, 0) }

// An Entry is one row of the ledger. All times are the store's, Now included, so
// that only differences of one clock are ever taken.
type Entry struct {
	Key   Key
	Kind  Kind
	State State
	// Fingerprint and Seq are of the payload that was sent last.
	Fingerprint Fingerprint
	Seq         int64
	// Request is the payload that was sent last, while its outcome is unknown and
	// the target's class needs it again.
	Request []byte
	// Fence counts the claims. Who holds the highest may write the result.
	Fence int64
	// Attempt counts the claims since the entry was last done.
	Attempt int
	// LeaseUntil is when the claim may be taken over.
	LeaseUntil time.Time
	// FirstSent is when the request in doubt was sent first, LastSent the last
	// moment at which it may have been sent.
	FirstSent, LastSent time.Time
	// Unsure says that an earlier request than the one being sent is in doubt.
	Unsure bool
	// Ref is the record, once it is known.
	Ref Ref
	// Result is what Do's function returned, as JSON.
	Result []byte
	// Cause is why the last attempt failed, without values.
	Cause string
	// By is the person who settled a doubt.
	By string
	// Created and Updated are when the entry was made and last changed.
	Created, Updated time.Time
	// Now is the store's time when the entry was read.
	Now time.Time
}

// A Claim is an entry and what the ledger says to who asked for it.
type Claim struct {
	Entry
	Verdict Verdict
}

// A ClaimRequest asks for a key.
type ClaimRequest struct {
	Key         Key
	Kind        Kind
	Fingerprint Fingerprint
	// Seq is the source's version of the payload, 0 if it has none.
	Seq int64
	// Lease is how long the claim holds unless it is renewed.
	Lease time.Duration
}

// Apply decides the claim on e, the entry as it stands (found is false where
// there is none), and changes e as the verdict asks. It is the whole of the
// ledger's logic for Store implementations, which must make reading, Apply and
// writing back one atomic step. Now is the store's time.
func (r ClaimRequest) Apply(e *Entry, found bool, now time.Time) Verdict {
	if !found {
		*e = Entry{
			Key: r.Key, Kind: r.Kind, State: Claimed, Fence: 1, Attempt: 1,
			LeaseUntil: now.Add(r.Lease), Created: now, Updated: now, Now: now,
		}
		return Won
	}
	e.Now = now
	if e.Kind != r.Kind {
		return Reused
	}
	if e.State == Done {
		if v := r.again(e); v != Won {
			return v
		}
		e.State, e.Attempt = Claimed, 0
	} else if v := r.takeOver(e, now); v != Won {
		return v
	}
	e.Fence++
	e.Attempt++
	e.LeaseUntil, e.Updated = now.Add(r.Lease), now
	return Won
}

// again decides a claim on what is done.
func (r ClaimRequest) again(e *Entry) Verdict {
	same := r.Fingerprint == e.Fingerprint
	switch {
	case r.Kind == Once:
		return Finished
	case r.Kind == Operation && !same:
		return Reused
	case r.Kind == Operation:
		return Finished
	case same:
		// A newer version with the same content still counts: else a late one
		// between the two would be taken for news.
		e.Seq = max(e.Seq, r.Seq)
		return Finished
	case r.outdated(e):
		return Outdated
	}
	return Won
}

// takeOver decides a claim on what is not done.
func (r ClaimRequest) takeOver(e *Entry, now time.Time) Verdict {
	switch {
	case r.Kind == Operation && e.State != Claimed && r.Fingerprint != e.Fingerprint:
		return Reused
	case e.LeaseUntil.After(now):
		return Busy
	case r.Kind == Record && r.outdated(e):
		return Outdated
	}
	if e.State == Sending {
		// Its worker is gone, and may have sent until its lease was over.
		e.State = Doubt
		if e.LeaseUntil.After(e.LastSent) {
			e.LastSent = e.LeaseUntil
		}
	}
	return Won
}

func (r ClaimRequest) outdated(e *Entry) bool { return r.Seq != 0 && r.Seq < e.Seq }

// A Mark says that its request is about to be sent.
type Mark struct {
	Key         Key
	Fence       int64
	Fingerprint Fingerprint
	Seq         int64
	Request     []byte
	// Settled says that whatever was sent before is known not to have happened.
	Settled bool
}

// Apply changes e, whose fence must be m's, as Store.MarkSending asks.
func (m Mark) Apply(e *Entry, now time.Time) {
	if e.State != Sending {
		e.Unsure = e.State == Doubt && !m.Settled
		if !e.Unsure {
			e.FirstSent = now
		}
	}
	e.State, e.LastSent, e.Updated, e.Now = Sending, now, now, now
	e.Fingerprint, e.Seq, e.Request = m.Fingerprint, max(e.Seq, m.Seq), m.Request
}

// A Completion is the known outcome of a write.
type Completion struct {
	Key         Key
	Fence       int64
	Fingerprint Fingerprint
	Ref         Ref
	Result      []byte
	// By is the person who found out, "" for the target's own answer.
	By string
}

// Apply changes e, whose fence must be c's, as Store.Complete asks.
func (c Completion) Apply(e *Entry, now time.Time) {
	e.State, e.Fingerprint, e.Ref, e.Result, e.By = Done, c.Fingerprint, c.Ref, c.Result, c.By
	e.Request, e.Unsure, e.Cause = nil, false, ""
	e.LeaseUntil, e.Updated, e.Now = now, now, now
}

// A Release gives a key back.
type Release struct {
	Key   Key
	Fence int64
	// NotApplied says that what this claim sent did not happen, or that it sent
	// nothing.
	NotApplied bool
	// Settled says that nothing that was ever sent under the key since it was
	// last done happened. Only Resolve says so.
	Settled bool
	// Cause is why, without values.
	Cause string
	// By is the person who said so, if one.
	By string
}

// Apply changes e, whose fence must be r's, as Store.Release asks.
func (r Release) Apply(e *Entry, now time.Time) {
	switch {
	case r.Settled:
		e.State, e.Unsure, e.Request = Claimed, false, nil
	case e.State == Sending && r.NotApplied && !e.Unsure:
		e.State, e.Request = Claimed, nil
	case e.State == Sending:
		e.State = Doubt
		if !r.NotApplied {
			e.LastSent = now
		}
	}
	e.Cause, e.By = r.Cause, r.By
	e.LeaseUntil, e.Updated, e.Now = now, now, now
}
