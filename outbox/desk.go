package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/tectari/dovetail"
)

// A Pause says who paused a destination, when and why.
type Pause struct {
	Who, Why string
	At       time.Time
}

// A Status is how a destination stands in the store.
type Status struct {
	Destination string
	// Waiting counts entries that could be delivered now, as far as the limit let
	// the store look; AtLeast says that there may be more.
	Waiting int64
	AtLeast bool
	// Parked counts entries that are scheduled, retrying, deferred or behind one
	// that is; Dead and InDoubt the others.
	Parked, Dead, InDoubt int64
	// Age is how long the oldest undelivered entry has waited, zero if none does.
	// A scheduled entry waits from when it is due; so does one that was deferred
	// for 10 minutes or more. Dead letters and entries in doubt do not count.
	Age    time.Duration
	Paused *Pause
}

// A DeadLetter is a message that was given up, or that is in doubt.
type DeadLetter struct {
	Message
	Seq      int64
	Enqueued time.Time
	// Parked is when it was given up.
	Parked   time.Time
	Attempts int
	Replays  int
	InDoubt  bool
	Class    dovetail.Class
	Code     string
	Field    string
	// Error is what the last attempt said; for a panic, with its stack.
	Error string
}

// An Action is what a person does to the queue. The texts are stored.
type Action string

// The actions.
const (
	PauseAction   Action = "pause"
	ResumeAction  Action = "resume"
	ReplayAction  Action = "replay"
	DiscardAction Action = "discard"
)

// An Operation is an Action, by whom and why.
type Operation struct {
	Action Action
	// Destination is what pause and resume are about, Filter what replay and
	// discard are; Destination then is the Filter's.
	Destination string
	Filter      Filter
	Who, Why    string
}

// A Cause is what dead letters have in common.
type Cause struct {
	Destination string
	InDoubt     bool
	Class       dovetail.Class
	Code, Field string
}

// Operated is what came of an Operation.
type Operated struct {
	// Messages counts those that were touched.
	Messages int
	// Settled lists the causes of those touched of which none is left.
	Settled []Cause
}

// statusLimit bounds what a look at the queue's state reads.
const statusLimit = 10_000

// A Lag is how a destination stands.
type Lag struct {
	Status
	// Down says that the relay of this process has found the destination down,
	// since when and why.
	Down      bool
	DownSince time.Time
	DownWhy   string
}

// Lag returns how each destination stands that has messages or is configured. It
// looks at the 10,000 oldest waiting and parked messages only: beyond that
// Waiting is a lower bound, and AtLeast says so.
func (q *Queue) Lag(ctx context.Context) ([]Lag, error) {
	list, err := q.status(ctx)
	if err != nil {
		return nil, fmt.Errorf("outbox: lag: %w", err)
	}
	lags := make([]Lag, 0, len(list))
	for _, s := range list {
		lag := Lag{Status: s}
		if r := q.relay.Load(); r != nil {
			lag.Down, lag.DownSince, lag.DownWhy = r.down(s.Destination)
		}
		lags = append(lags, lag)
	}
	return lags, nil
}

// status returns the store's status and that of configured destinations that the
// store does not know.
func (q *Queue) status(ctx context.Context) ([]Status, error) {
	list, err := q.store.QueueStatus(ctx, statusLimit)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, s := range list {
		seen[s.Destination] = true
	}
	for _, name := range q.names() {
		if !seen[name] {
			list = append(list, Status{Destination: name})
		}
	}
	return list, nil
}

// Pause stops deliveries to a destination, in every process, until Resume. It
// survives restarts. Relays of other processes notice within a second. It
// returns ErrNoReason without who and why.
func (q *Queue) Pause(ctx context.Context, destination, who, why string) error {
	if who == "" || why == "" {
		return fmt.Errorf("pause %s: %w", destination, ErrNoReason)
	}
	_, err := q.operate(ctx, Operation{Action: PauseAction, Destination: destination, Who: who, Why: why})
	return err
}

// Resume ends a Pause. It returns ErrNoReason without who.
func (q *Queue) Resume(ctx context.Context, destination, who, why string) error {
	if who == "" {
		return fmt.Errorf("resume %s: %w", destination, ErrNoReason)
	}
	_, err := q.operate(ctx, Operation{Action: ResumeAction, Destination: destination, Who: who, Why: why})
	return err
}

// operate does op, reports it, and wakes the relay.
func (q *Queue) operate(ctx context.Context, op Operation) (int, error) {
	done, err := q.store.OperateQueue(ctx, op)
	if err != nil {
		return 0, fmt.Errorf("outbox: %s: %w", op.Action, err)
	}
	q.observer.Record(ctx, dovetail.Event{
		Name: "outbox.operation", Time: time.Now(), Destination: op.Destination,
		Outcome: string(op.Action), Why: op.Who + ": " + op.Why, Count: int64(done.Messages),
	})
	if r := q.relay.Load(); r != nil {
		r.operated(op)
	}
	for _, c := range done.Settled {
		if err := q.alerts.Clear(ctx, q.letterProblem(c), string(op.Action)+" by "+op.Who); err != nil {
			return done.Messages, fmt.Errorf("outbox: %s: clear the alert: %w", op.Action, err)
		}
	}
	return done.Messages, nil
}
