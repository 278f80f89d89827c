package alert

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tectari/dovetail"
)

func TestOneCauseMutesWhatFollowsFromIt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		pager := newSink("pager")
		m, _ := start(t, Config{Routes: []Route{{To: []Sink{pager}}}})
		stuck := Problem{Rule: Stuck, System: "billing"}
		elsewhere := Problem{Rule: Stuck, System: "crm"}
		require.NoError(t, m.Report(t.Context(), down))
		wait(10 * time.Minute)
		require.NoError(t, m.Report(t.Context(), stuck))
		require.NoError(t, m.Report(t.Context(), elsewhere))
		wait(10 * time.Minute)
		require.NoError(t, m.Clear(t.Context(), down, ""))
		wait(30 * time.Second)
		require.NoError(t, m.Clear(t.Context(), stuck, ""))
		wait(10 * time.Minute)
		require.Equal(t, []State{Firing, Resolved}, pager.of(Down))
		require.Equal(t, []State{Firing}, pager.of(Stuck), "only the other system's")
		require.Equal(t, dovetail.System("crm"), pager.all()[1].Problem.System)

		require.NoError(t, m.Report(t.Context(), down))
		require.NoError(t, m.Report(t.Context(), stuck))
		wait(time.Hour)
		require.NoError(t, m.Clear(t.Context(), elsewhere, ""))
		require.NoError(t, m.Clear(t.Context(), down, ""))
		wait(3 * time.Hour)
		require.Equal(t, []State{Firing, Resolved, Firing}, pager.of(Stuck), "what outlives its cause is told")
	})
}

// The queue and the poll see one outage each in its own way.
func TestOneSystemDownIsToldOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		pager := newSink("pager")
		m, _ := start(t, Config{Routes: []Route{{To: []Sink{pager}}}})
		deliver := Problem{Rule: Down, System: "billing", Destination: "billing", Class: dovetail.Unavailable}
		poll := Problem{Rule: Down, Link: "customers", System: "billing", Operation: "poll"}
		orders := Problem{Rule: Down, Link: "orders", System: "billing", Operation: "poll"}
		for _, p := range []Problem{deliver, poll, orders} {
			require.NoError(t, m.Report(t.Context(), p))
			wait(10 * time.Second)
		}
		wait(10 * time.Minute)
		for _, p := range []Problem{deliver, orders, poll} {
			require.NoError(t, m.Clear(t.Context(), p, ""))
			wait(10 * time.Second)
		}
		wait(10 * time.Minute)
		require.Equal(t, []State{Firing, Resolved}, pager.of(Down))
	})
}

func TestMilderProblemMutesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		pager := newSink("pager")
		m, _ := start(t, Config{Routes: []Route{{To: []Sink{pager}}}})
		mild := down
		mild.Severity = Warning
		require.NoError(t, m.Report(t.Context(), mild))
		require.NoError(t, m.Report(t.Context(), Problem{Rule: Stuck, System: "billing"}))
		wait(time.Minute)
		require.Equal(t, []State{Firing}, pager.of(Stuck))
	})
}

// A queue with two destinations of one system: the first has caught up when the
// second still works off its backlog, or has not looked again yet. The system
// answers, so nobody is told that it is down.
func TestNobodyIsToldDownAfterTheRecovery(t *testing.T) {
	a := Problem{Rule: Down, System: "billing", Destination: "customers/billing", Class: dovetail.Unavailable}
	b := Problem{Rule: Down, System: "billing", Destination: "invoices/billing", Class: dovetail.Unavailable}
	for name, looksAgain := range map[string]bool{"the second catches up": true, "the second has not looked again": false} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				pager := newSink("pager")
				m, _ := start(t, Config{Routes: []Route{{To: []Sink{pager}}}})
				require.NoError(t, m.Report(t.Context(), a))
				wait(time.Second)
				require.NoError(t, m.Report(t.Context(), b))
				wait(20 * time.Minute)
				require.Equal(t, []State{Firing}, pager.of(Down), "during the outage")
				require.NoError(t, m.Recovering(t.Context(), a))
				if looksAgain {
					require.NoError(t, m.Recovering(t.Context(), b))
				}
				wait(time.Second)
				require.NoError(t, m.Clear(t.Context(), a, "caught up"))
				wait(40 * time.Minute)
				if looksAgain {
					require.NoError(t, m.Clear(t.Context(), b, "caught up"))
				}
				wait(30 * time.Hour)
				require.Equal(t, []State{Firing, Resolved}, pager.of(Down))
				require.Equal(t, "customers/billing", pager.all()[1].Problem.Destination)
				open, err := m.Open(t.Context())
				require.NoError(t, err)
				require.Empty(t, open)
			})
		})
	}
}

func TestSecondReportOfAnOutageIsToldIfItGoesOn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		pager := newSink("pager")
		m, _ := start(t, Config{Routes: []Route{{To: []Sink{pager}}}})
		a := Problem{Rule: Down, System: "billing", Destination: "customers/billing"}
		b := Problem{Rule: Down, System: "billing", Destination: "invoices/billing"}
		require.NoError(t, m.Report(t.Context(), a))
		for i := range 600 {
			require.NoError(t, m.Report(t.Context(), b))
			wait(2 * time.Second)
			if i == 300 {
				require.NoError(t, m.Clear(t.Context(), a, "caught up"))
			}
		}
		require.Equal(t, []State{Firing, Resolved, Firing}, pager.of(Down))
		require.Equal(t, "invoices/billing", pager.all()[2].Problem.Destination)
	})
}

// The outage is shorter than the route waits; catching up takes longer.
func TestBlipThatIsCaughtUpSlowlyTellsNobody(t *testing.T) {
	bubble(t, func(t *testing.T) {
		pager := newSink("pager")
		m, _ := start(t, Config{Routes: []Route{{To: []Sink{pager}}}})
		require.NoError(t, m.Report(t.Context(), down))
		wait(20 * time.Second)
		require.NoError(t, m.Recovering(t.Context(), down))
		wait(time.Minute)
		require.NoError(t, m.Clear(t.Context(), down, "caught up"))
		wait(time.Hour)
		require.Empty(t, pager.all())
	})
}

// The end tells how long the outage was and what was caught up after it; a system
// that falls back while it catches up is one outage.
func TestRecoveryIsPartOfTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		pager := newSink("pager")
		m, _ := start(t, Config{Routes: []Route{{To: []Sink{pager}, Repeat: time.Hour}}})
		require.NoError(t, m.Report(t.Context(), down))
		wait(10 * time.Minute)
		require.NoError(t, m.Recovering(t.Context(), down))
		wait(time.Minute)
		require.NoError(t, m.Report(t.Context(), down))
		wait(11 * time.Minute)
		require.NoError(t, m.Recovering(t.Context(), down))
		wait(2 * time.Hour)
		require.Equal(t, []State{Firing}, pager.of(Down), "nothing is repeated while it catches up")
		caught := down
		caught.Waiting = 312
		require.NoError(t, m.Clear(t.Context(), caught, "lasted 22m, 312 caught up, 0 lost"))
		wait(10 * time.Minute)
		require.Equal(t, []State{Firing, Resolved}, pager.of(Down))
		require.Contains(t, pager.all()[1].Text(), "Lasted: 22m, 2 failures, 312 caught up")
	})
}

// Of events nobody can say that they are over: they are when none has come for a
// while.
func TestEventsEndByThemselves(t *testing.T) {
	bubble(t, func(t *testing.T) {
		pager := newSink("pager")
		m, _ := start(t, Config{Routes: []Route{{To: []Sink{pager}}}})
		for _, r := range Rules() {
			require.NoError(t, m.Report(t.Context(), Problem{Rule: r, Link: string(r)}))
		}
		wait(50 * time.Minute)
		require.NoError(t, m.Report(t.Context(), Problem{Rule: Trespass, Link: string(Trespass)}))
		wait(50 * time.Minute)
		require.Equal(t, []State{Firing}, pager.of(Trespass), "it happened again")
		require.Equal(t, []State{Firing, Resolved}, pager.of(TugOfWar))
		wait(26 * time.Hour)
		for _, r := range []Rule{Trespass, TugOfWar, Contract, Budget} {
			got := pager.of(r)
			require.Equal(t, Resolved, got[len(got)-1], r)
		}
		open, err := m.Open(t.Context())
		require.NoError(t, err)
		require.Len(t, open, len(Rules())-4, "what has an end of its own stays until it is cleared")
	})
}
