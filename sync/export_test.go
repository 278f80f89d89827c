package sync

import (
	"context"
	"errors"
	"strings"

	"github.com/tectari/dovetail"
)

// Handle does what the queue would do with a message.
func (l *Link) Handle(ctx context.Context, destination, key string) error {
	name := strings.TrimPrefix(destination, l.name+"/")
	system, read := strings.CutSuffix(name, "/read")
	p, err := l.party(dovetail.System(system))
	if err != nil {
		return err
	}
	if read {
		return l.observe(ctx, p, key)
	}
	return l.deliver(ctx, p, key)
}

// IsLater reports that the work waits through nobody's fault.
func IsLater(err error) bool {
	var wait *laterError
	return errors.As(err, &wait)
}

// SetKeys makes the link's keys predictable.
func (l *Link) SetKeys(next func() string) { l.newKey = next }

// Mutate rewrites a stored row as a faulty merge would have left it.
func (l *Link) Mutate(row Row, fault string) Row {
	if fault == "" {
		return row
	}
	r, err := l.rules.unmarshal(row)
	if err != nil {
		return row
	}
	for s := range r.shadow {
		sh := &r.shadow[s]
		switch fault {
		case "forget that a write is uncertain":
			if sh.status == linked {
				sh.settle()
			}
		case "compare values, not revisions":
			for f := range r.values {
				if sh.status == linked && r.revs[f] > 0 && sh.rev[f] == r.revs[f] && sh.ack[f] != r.values[f] {
					sh.rev[f] = 0
				}
			}
		case "one base for all systems":
			copy(sh.ack, r.values)
		case "forget late requests":
			sh.ghosts = nil
		case "ignore who read or wrote meanwhile":
			sh.touch = 0
		}
	}
	row.Body = l.rules.marshal(r)
	return row
}
