package sync_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/alert"
	"github.com/tectari/dovetail/dovetailtest"
	datasync "github.com/tectari/dovetail/sync"
)

// refusing is a system whose feed of changes fails as the test says.
type refusing struct {
	*dovetailtest.System[contact]
	with *dovetail.Class
}

func (r refusing) Changes(ctx context.Context, cursor string) (datasync.Page[contact], error) {
	if *r.with != dovetail.Unclassified {
		return datasync.Page[contact]{}, dovetail.NewError(*r.with, "poll", "no")
	}
	return r.System.Changes(ctx, cursor)
}

// TestPollThatFailsIsToldByItsClass: what a person is told says whether the
// system is down or refuses the login; it ends when the system can be read again,
// in a process that never saw it fail too.
func TestPollThatFailsIsToldByItsClass(t *testing.T) {
	t.Parallel()
	for class, rule := range map[dovetail.Class]alert.Rule{dovetail.Unavailable: alert.Down, dovetail.Permanent: alert.Down, dovetail.Auth: alert.Auth} {
		t.Run(class.String(), func(t *testing.T) {
			t.Parallel()
			inTime(t, func(t *testing.T) {
				var with dovetail.Class
				var r *rig
				r = newRig(t, func(c *datasync.Config[contact]) {
					if r != nil {
						c.Systems[0].Endpoint = refusing{r.crm, &with}
					}
				})
				r.reopen(t)
				with = class
				r.runFor(t, 5*time.Minute)
				open, err := r.alarm.Open(t.Context())
				require.NoError(t, err)
				require.Len(t, open, 1)
				require.Equal(t, rule, open[0].Problem.Rule)
				require.Equal(t, class, open[0].Problem.Class)
				require.Greater(t, open[0].Count, int64(20), "it is looked at again before the next poll is due")

				with = dovetail.Unclassified // the system is back while no process runs
				r.reopen(t)
				r.runFor(t, 5*time.Minute)
				open, err = r.alarm.Open(t.Context())
				require.NoError(t, err)
				require.Empty(t, open)
				require.Equal(t, []string{"firing crm", "resolved crm"}, r.person.heard(rule))
			})
		})
	}
}
