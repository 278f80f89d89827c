package sync

import (
	"context"
	"fmt"
	"time"

	"github.com/tectari/dovetail/alert"
)

func heardName(p *party) string { return "heard/" + string(p.name) }

// heardIn notes in a transaction that a system has shown something new. It is
// kept in the store: a process that is restarted every night would otherwise
// never see a silence of two days, and the process that reads a system need not
// be the one that watches it. To keep writes few the time is exact to a hundredth
// of SilentAfter.
func (l *Link) heardIn(ctx context.Context, tx Tx, p *party) error {
	if p.silent == 0 {
		return nil
	}
	now := l.stamp()
	last, err := l.lastHeard(ctx, tx, p)
	if err != nil || now.Sub(last) < p.silent/100 {
		return err
	}
	return tx.Write(ctx, Changes{Link: l.name, Meta: map[string]string{heardName(p): now.Format(time.RFC3339Nano)}})
}

func (l *Link) lastHeard(ctx context.Context, tx Tx, p *party) (time.Time, error) {
	text, err := tx.Meta(ctx, l.name, heardName(p))
	if err != nil || text == "" {
		return time.Time{}, err
	}
	last, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%w: when %s was heard last: %w", ErrMalformedState, p.name, err)
	}
	return last, nil
}

// checkSilence raises an alert when a system that should speak has not, and ends
// it when it does. The time counts from the first look.
func (l *Link) checkSilence(ctx context.Context, p *party) error {
	if p.silent == 0 {
		return nil
	}
	var last time.Time
	err := l.store.UpdateRecords(ctx, func(tx Tx) (err error) {
		if last, err = l.lastHeard(ctx, tx, p); err != nil || !last.IsZero() {
			return err
		}
		last = l.stamp()
		return tx.Write(ctx, Changes{Link: l.name, Meta: map[string]string{heardName(p): last.Format(time.RFC3339Nano)}})
	})
	if err != nil {
		return fmt.Errorf("look when %s was heard last: %w", p.name, err)
	}
	silent := alert.Problem{Rule: alert.Silent, Link: l.name, System: p.name}
	quiet := l.now().Sub(last)
	if quiet <= p.silent {
		l.clear(ctx, silent, "it speaks again")
		return nil
	}
	silent.Title = fmt.Sprintf("%s has shown no change of %s for %s", p.name, l.name, quiet.Round(time.Second))
	silent.Why = "a source that should speak is silent: a lost webhook subscription, or a filter, looks like that"
	silent.Count, silent.Oldest, silent.At = 1, quiet, l.stamp()
	l.alert(ctx, silent)
	return nil
}
