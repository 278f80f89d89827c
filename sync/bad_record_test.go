package sync_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tectari/dovetail/alert"
	"github.com/tectari/dovetail/dovetailtest"
	"github.com/tectari/dovetail/outbox"
	datasync "github.com/tectari/dovetail/sync"
)

var errBadAmount = errors.New(`"12,5x" is no amount`)

// spoiled is a system of whose records one cannot be decoded: in pages, and by
// its ID too unless alone.
type spoiled struct {
	*dovetailtest.System[contact]
	id    string
	alone bool
}

func (s *spoiled) spoil(o datasync.Observation[contact]) datasync.Observation[contact] {
	if o.ID == s.id {
		o.Err, o.Record = errBadAmount, contact{}
	}
	return o
}

func (s *spoiled) Changes(ctx context.Context, cursor string) (datasync.Page[contact], error) {
	p, err := s.System.Changes(ctx, cursor)
	for i, o := range p.Records {
		p.Records[i] = s.spoil(o)
	}
	return p, err
}

func (s *spoiled) Get(ctx context.Context, id string) (datasync.Observation[contact], error) {
	o, err := s.System.Get(ctx, id)
	if !s.alone {
		o = s.spoil(o)
	}
	return o, err
}

// TestBadRecordStopsAlone: the rest of its page goes through and the cursor moves;
// it waits in the dead letters with its reason, and goes through once it was
// mended and replayed.
func TestBadRecordStopsAlone(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T) {
		s := &spoiled{id: id(3)}
		r := newRig(t, func(c *datasync.Config[contact]) {
			if s.System != nil {
				c.Systems[0].Endpoint = s
			}
		})
		s.System = r.crm
		r.reopen(t)
		for i := range 10 {
			r.crm.Put(id(i), "ann", contact{Name: "n", Email: id(i) + "@example.com"})
		}
		r.runFor(t, 5*time.Minute)
		require.Len(t, r.erp.All(), 9, "all but one")
		letters, err := r.queue.DeadLetters(t.Context(), outbox.Filter{})
		require.NoError(t, err)
		require.Len(t, letters, 1)
		require.Equal(t, id(3), letters[0].Key)
		require.Contains(t, letters[0].Error, errBadAmount.Error())
		require.Equal(t, []string{"firing crm"}, r.person.heard(alert.DeadLetter))
		require.NotEmpty(t, r.person.heard(alert.Contract))
		require.Equal(t, "crm:"+id(3), r.person.sample(alert.Contract))

		s.id = "" // somebody mends it, and replays
		_, err = r.queue.Replay(t.Context(), outbox.Filter{}, "ana")
		require.NoError(t, err)
		r.runFor(t, 5*time.Minute)
		require.Len(t, r.erp.All(), 10)
	})
}

// TestRecordThatIsBadInPagesOnlyIsReadAlone.
func TestRecordThatIsBadInPagesOnlyIsReadAlone(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T) {
		s := &spoiled{id: id(0), alone: true}
		r := newRig(t, func(c *datasync.Config[contact]) {
			if s.System != nil {
				c.Systems[0].Endpoint = s
			}
		})
		s.System = r.crm
		r.reopen(t)
		r.fill(t, 2)
		letters, err := r.queue.DeadLetters(t.Context(), outbox.Filter{})
		require.NoError(t, err)
		require.Empty(t, letters)
	})
}

// sample is the record of the first notification of a rule.
func (i *inbox) sample(rule alert.Rule) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, n := range i.notes {
		if n.Problem.Rule == rule {
			return n.Problem.Sample
		}
	}
	return ""
}
