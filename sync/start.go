package sync

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrRulesChanged is returned by Run, Poll, Reconcile and Sweep when the rules in
// the store are not those of the Config: who owns what has changed since the link
// last ran.
var ErrRulesChanged = errors.New("sync: the rules have changed since this link last ran")

// rulesLook is how long a process believes that its rules are still those of the
// store. A transfer by another process ends its work within that time.
const rulesLook = 10 * time.Second

// mayRun refuses to work under rules that the stored state was not made by.
func (l *Link) mayRun(ctx context.Context) error {
	l.mu.Lock()
	fresh := !l.agreed.IsZero() && l.now().Sub(l.agreed) < rulesLook
	l.mu.Unlock()
	if fresh {
		return nil
	}
	return l.checkRules(ctx)
}

// checkRules compares the rules with those of the store, whatever was found
// before. The first run of a link stores them.
func (l *Link) checkRules(ctx context.Context) error {
	hash := l.rules.table.Hash()
	err := l.store.UpdateRecords(ctx, func(tx Tx) error {
		stored, err := tx.Meta(ctx, l.name, "rules")
		if err != nil {
			return fmt.Errorf("read the rules of link %s: %w", l.name, err)
		}
		switch stored {
		case hash:
			return nil
		case "":
			return tx.Write(ctx, Changes{Link: l.name, Meta: map[string]string{"rules": hash}})
		}
		return fmt.Errorf("%w: link %q: look at Link.Transfer with apply false, which counts what would change, then apply it", ErrRulesChanged, l.name)
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.agreed = time.Time{}
	if err == nil {
		l.agreed = l.now()
	}
	return err
}

// handle runs the work that a message of the queue stands for. Under changed
// rules the message waits: the queue may run without the link, and before it.
func (l *Link) handle(ctx context.Context, work func(context.Context) error) error {
	err := l.mayRun(ctx)
	if errors.Is(err, ErrRulesChanged) {
		err = later(brakePause, "the rules have changed; Link.Transfer moves the records to them")
	}
	if err == nil {
		err = work(ctx)
	}
	return forQueue(err)
}
