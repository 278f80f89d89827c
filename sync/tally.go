package sync

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

const (
	// brakeDay is the time over which a brake counts. What is counted over less
	// lets a mistake through that comes slowly: a system that is read one record at
	// a time never has many deletions waiting at once.
	brakeDay = 24 * time.Hour
	// approvalLife is how long Approve holds.
	approvalLife = time.Hour
	// anyNumber is what an approval lets through where nobody can know how many
	// are still to come: the rest of a field, page after page.
	anyNumber = int64(1) << 62
)

// A tally is what the store remembers of one brake of one system. The zero tally
// has counted nothing.
type tally struct {
	Since time.Time `json:"since"` // when the day of Done began
	Done  int64     `json:"done"`  // how many passed in that day without an approval
	Held  int64     `json:"held"`  // how many the brake held last; zero: it holds nothing
	At    time.Time `json:"at"`    // when it held last
	Whole bool      `json:"whole"` // a whole listing was held, which only the next one can end
	Left  int64     `json:"left"`  // how many more a person allowed
	Until time.Time `json:"until"` // until when
}

// admits reports whether so many may pass on top of what has.
func (t tally) admits(waiting, limit int64) bool { return waiting+t.Done <= limit+t.Left }

// heldJustNow: somebody looked a moment ago, so thousands that wait need not each
// count the records again.
func (t tally) heldJustNow(now time.Time) bool {
	return t.Held > 0 && now.Sub(t.At) < brakePause/2
}

// count notes that one has passed. What a person allowed is used up first.
func (t *tally) count() {
	if t.Left > 0 {
		t.Left--
		return
	}
	t.Done++
}

// at forgets what is too old to count at a time.
func (t *tally) at(now time.Time) {
	if now.Sub(t.Since) >= brakeDay {
		t.Since, t.Done = now, 0
	}
	if !now.Before(t.Until) {
		t.Left = 0
	}
}

func tallyName(brake string) string { return "brake/" + brake }

// tallyIn reads the tally of a brake in a transaction.
func (l *Link) tallyIn(ctx context.Context, tx Tx, brake string) (tally, error) {
	var t tally
	text, err := tx.Meta(ctx, l.name, tallyName(brake))
	if err != nil {
		return t, fmt.Errorf("read the brake %s of %s: %w", brake, l.name, err)
	}
	if text != "" {
		if err := json.Unmarshal([]byte(text), &t); err != nil {
			return t, fmt.Errorf("%w: the brake %s of %s: %w", ErrMalformedState, brake, l.name, err)
		}
	}
	t.at(l.stamp())
	return t, nil
}

// writeTally stores the tally of a brake, with entries for the history.
func (l *Link) writeTally(ctx context.Context, tx Tx, brake string, t tally, entries ...Entry) error {
	b, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("store the brake %s of %s: %w", brake, l.name, err)
	}
	return tx.Write(ctx, Changes{Link: l.name, Meta: map[string]string{tallyName(brake): string(b)}, Entries: entries})
}

// updateTally changes the tally of a brake in a transaction of its own; fn
// returns false when there is nothing to store.
func (l *Link) updateTally(ctx context.Context, brake string, fn func(t *tally) bool) (t tally, err error) {
	err = l.store.UpdateRecords(ctx, func(tx Tx) error {
		if t, err = l.tallyIn(ctx, tx, brake); err != nil {
			return err
		}
		if !fn(&t) {
			return nil
		}
		return l.writeTally(ctx, tx, brake, t)
	})
	return t, err
}

// countIn notes in a transaction that one has passed a brake.
func (l *Link) countIn(ctx context.Context, tx Tx, brake string) error {
	t, err := l.tallyIn(ctx, tx, brake)
	if err != nil {
		return err
	}
	t.count()
	return l.writeTally(ctx, tx, brake, t)
}
