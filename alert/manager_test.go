package alert

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tectari/dovetail"
)

var down = Problem{Rule: Down, Link: "customers", System: "billing", Class: dovetail.Unavailable, Why: "503 from the gateway", Sample: "billing:c-17"}

func TestOutageIsTwoMessagesPerSink(t *testing.T) {
	bubble(t, func(t *testing.T) {
		pager, chat := newSink("pager"), newSink("chat")
		m, _ := start(t, Config{Routes: []Route{{To: []Sink{pager, chat}}}})
		for i := range 100_000 {
			p := down
			p.Waiting = int64(min(i, 312))
			p.Sample = fmt.Sprintf("billing:c-%d", i)
			require.NoError(t, m.Report(t.Context(), p))
			if i%1000 == 999 {
				time.Sleep(12 * time.Second) // 20 minutes in all
			}
		}
		require.NoError(t, m.Clear(t.Context(), Problem{Rule: Down, Link: "customers", System: "billing"}, "answers again"))
		wait(5 * time.Minute)
		for _, s := range []*fakeSink{pager, chat} {
			got := s.all()
			require.Len(t, got, 2, s.name)
			require.Equal(t, Firing, got[0].State)
			require.LessOrEqual(t, s.at[0].Sub(got[0].First), 60*time.Second)
			require.Equal(t, Resolved, got[1].State)
			require.EqualValues(t, 100_000, got[1].Count, "every report is counted")
			require.EqualValues(t, 312, got[1].Peak)
			require.Contains(t, got[1].Text(), "Lasted: 20m, 100000 failures, 312 caught up")
			require.Contains(t, got[1].Text(), "Note: answers again")
		}
	})
}

func TestReportNeverWaitsForASink(t *testing.T) {
	bubble(t, func(t *testing.T) {
		hangs, works := newSink("hangs"), newSink("works")
		hangs.hang = make(chan struct{})
		m, _ := start(t, Config{Routes: []Route{{To: []Sink{hangs, works}, Wait: -1}}})
		require.NoError(t, m.Report(t.Context(), down))
		wait(5 * time.Second)
		before := time.Now()
		other := Problem{Rule: Drift, Link: "customers"}
		require.NoError(t, m.Report(t.Context(), other))
		require.Less(t, time.Since(before), time.Millisecond)
		wait(3 * time.Second)
		require.Equal(t, []State{Firing}, works.of(Down))
		require.Equal(t, []State{Firing}, works.of(Drift), "a sink that hangs delays no other")
	})
}

func TestFailingSinkIsToldLateNotNever(t *testing.T) {
	bubble(t, func(t *testing.T) {
		pager, chat := newSink("pager"), newSink("chat")
		pager.fail(errDown)
		m, _ := start(t, Config{Routes: []Route{{To: []Sink{pager, chat}}}})
		require.NoError(t, m.Report(t.Context(), down))
		wait(5 * time.Minute)
		require.NoError(t, m.Clear(t.Context(), down, ""))
		wait(5 * time.Minute)
		require.Empty(t, pager.all())
		require.Equal(t, []State{Firing, Resolved}, chat.of(Down))
		require.Equal(t, []State{Firing}, chat.of(AlertPath), "the failure is told through the other sink")

		pager.fail(nil)
		wait(10 * time.Minute)
		require.Equal(t, []State{Firing, Resolved}, pager.of(Down), "late, in order, once")
		require.Empty(t, pager.of(AlertPath), "a sink is not told through itself")
		require.Equal(t, []State{Firing, Resolved}, chat.of(AlertPath))
		require.Equal(t, []State{Firing, Resolved}, chat.of(Down))
	})
}

func TestHangingSinkIsReportedThroughTheOthers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		deaf := SinkFunc("deaf", func(context.Context, Notification) error { time.Sleep(5 * time.Minute); return nil })
		chat := newSink("chat")
		m, _ := start(t, Config{Routes: []Route{{To: []Sink{deaf, chat}, Wait: -1}}})
		require.NoError(t, m.Report(t.Context(), down))
		wait(2 * time.Minute)
		require.Equal(t, []State{Firing}, chat.of(AlertPath))
	})
}

func TestPanickingSinkIsAFailure(t *testing.T) {
	bubble(t, func(t *testing.T) {
		bad := SinkFunc("bad", func(context.Context, Notification) error { panic("boom") })
		chat := newSink("chat")
		m, _ := start(t, Config{Routes: []Route{{To: []Sink{bad, chat}, Wait: -1}}})
		require.NoError(t, m.Report(t.Context(), down))
		wait(time.Minute)
		require.Equal(t, []State{Firing}, chat.of(Down))
		require.Equal(t, []State{Firing}, chat.of(AlertPath))
		require.ErrorContains(t, m.Test(t.Context()), "alert: test sink bad: panic")
	})
}

func TestOneOfSeveralProcessesSends(t *testing.T) {
	bubble(t, func(t *testing.T) {
		pager, store := newSink("pager"), newLeaseStore()
		var ms []*Manager
		var stops []func()
		for range 3 {
			m, stop := start(t, Config{Store: store, Routes: []Route{{To: []Sink{pager}}}})
			ms, stops = append(ms, m), append(stops, stop)
		}
		for i := range 3000 {
			require.NoError(t, ms[i%3].Report(t.Context(), down))
		}
		wait(2 * time.Minute)
		require.Equal(t, []State{Firing}, pager.of(Down))
		stops[0]() // whoever leads, somebody takes over
		stops[1]()
		require.NoError(t, ms[2].Clear(t.Context(), down, ""))
		wait(5 * time.Minute)
		require.Equal(t, []State{Firing, Resolved}, pager.of(Down))
		require.EqualValues(t, 3000, pager.all()[1].Count, "the reports of all processes count")
	})
}

func TestLeaderThatDiesIsReplaced(t *testing.T) {
	bubble(t, func(t *testing.T) {
		pager, store := newSink("pager"), newLeaseStore()
		ok, err := store.LeaseAlerts(t.Context(), "a process that died", leaseTTL)
		require.NoError(t, err)
		require.True(t, ok)
		m, _ := start(t, Config{Store: store, Routes: []Route{{To: []Sink{pager}, Wait: -1}}})
		require.NoError(t, m.Report(t.Context(), down))
		wait(leaseTTL - 2*time.Second)
		require.Empty(t, pager.all(), "the lease of another is respected")
		wait(5 * time.Second)
		require.Len(t, pager.all(), 1)
	})
}

func TestCrashBetweenFiringAndResolvedStillResolves(t *testing.T) {
	bubble(t, func(t *testing.T) {
		pager, store := newSink("pager"), newLeaseStore()
		c := Config{Store: store, Routes: []Route{{To: []Sink{pager}}}}
		first, stop := start(t, c)
		require.NoError(t, first.Report(t.Context(), down))
		wait(time.Minute)
		require.Len(t, pager.all(), 1)
		stop()

		second, _ := start(t, c)
		wait(2 * time.Second)
		require.NoError(t, second.Clear(t.Context(), down, "after a restart"))
		wait(5 * time.Minute)
		require.Equal(t, []State{Firing, Resolved}, pager.of(Down))
	})
}

func TestFirstReportIsStoredBeforeReportReturns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		pager, store := newSink("pager"), newLeaseStore()
		c := Config{Store: store, Routes: []Route{{To: []Sink{pager}}}}
		dies, err := New(c) // never runs
		require.NoError(t, err)
		require.NoError(t, dies.Report(t.Context(), down))
		start(t, c)
		wait(time.Minute)
		require.Equal(t, []State{Firing}, pager.of(Down))
	})
}

func TestFlappingIsOneProblem(t *testing.T) {
	bubble(t, func(t *testing.T) {
		pager := newSink("pager")
		m, _ := start(t, Config{Routes: []Route{{To: []Sink{pager}}}})
		for range 30 {
			require.NoError(t, m.Report(t.Context(), down))
			wait(40 * time.Second)
			require.NoError(t, m.Clear(t.Context(), down, ""))
			wait(50 * time.Second)
		}
		require.Equal(t, []State{Firing}, pager.of(Down))
		wait(30 * time.Minute)
		require.Equal(t, []State{Firing}, pager.of(Down), "the more often it came back, the longer it must stay away")
		wait(2 * time.Hour)
		require.Equal(t, []State{Firing, Resolved}, pager.of(Down))
		require.Equal(t, 29, pager.all()[1].Flaps)
		require.Contains(t, pager.all()[1].Text(), "came back 29 times")

		require.NoError(t, m.Report(t.Context(), down))
		wait(2 * time.Minute)
		require.Equal(t, 2, pager.all()[2].Generation, "one that comes back says so")
		require.Contains(t, pager.all()[2].Text(), "Again: it began 2 times lately")
	})
}

func TestReportAfterClearIsNotLost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		pager := newSink("pager")
		m, _ := start(t, Config{Routes: []Route{{To: []Sink{pager}}}})
		began := time.Now()
		require.NoError(t, m.Report(t.Context(), down))
		wait(time.Minute)
		require.NoError(t, m.Clear(t.Context(), down, ""))
		again := down
		again.At = began // the reporter's time of the failure, from before the clear
		require.NoError(t, m.Report(t.Context(), again))
		wait(10 * time.Minute)
		open, err := m.Open(t.Context())
		require.NoError(t, err)
		require.Len(t, open, 1)
		require.Equal(t, []State{Firing}, pager.of(Down))
	})
}

func TestClearForgetsNoOtherProcess(t *testing.T) {
	bubble(t, func(t *testing.T) {
		pager, store := newSink("pager"), newLeaseStore()
		c := Config{Store: store, Routes: []Route{{To: []Sink{pager}, Wait: -1}}, Settle: -1}
		a, _ := start(t, c)
		b, _ := start(t, c)
		wait(1500 * time.Millisecond)
		require.NoError(t, a.Report(t.Context(), down))
		require.NoError(t, b.Clear(t.Context(), down, ""), "b has not seen what a reported")
		wait(10 * time.Second)
		open, err := a.Open(t.Context())
		require.NoError(t, err)
		require.Empty(t, open)
	})
}

func TestClearCoversWhatItLeavesOpen(t *testing.T) {
	bubble(t, func(t *testing.T) {
		pager := newSink("pager")
		m, _ := start(t, Config{Routes: []Route{{To: []Sink{pager}}}})
		for _, code := range []string{"502", "503"} {
			p := down
			p.Code = code
			require.NoError(t, m.Report(t.Context(), p))
		}
		other := down
		other.System = "crm"
		require.NoError(t, m.Report(t.Context(), other))
		require.NoError(t, m.Clear(t.Context(), Problem{Rule: Down, Link: "customers", System: "billing"}, ""))
		open, err := m.Open(t.Context())
		require.NoError(t, err)
		require.Len(t, open, 1)
		require.Equal(t, dovetail.System("crm"), open[0].Problem.System)
	})
}

func TestRepeatEscalateAndAck(t *testing.T) {
	bubble(t, func(t *testing.T) {
		pager, boss := newSink("pager"), newSink("boss")
		m, _ := start(t, Config{Routes: []Route{{To: []Sink{pager}, Repeat: time.Hour, Escalate: 15 * time.Minute, Then: []Sink{boss}}}})
		require.NoError(t, m.Report(t.Context(), down))
		wait(14 * time.Minute)
		require.Empty(t, boss.all())
		wait(2 * time.Minute)
		require.Equal(t, []State{Escalated}, boss.of(Down))
		wait(50 * time.Minute)
		require.Equal(t, []State{Firing, Repeat}, pager.of(Down))
		require.NoError(t, m.Ack(t.Context(), down.Fingerprint(), "ann"))
		wait(2 * time.Hour)
		require.Equal(t, []State{Firing, Repeat}, pager.of(Down), "nobody who took it is told again")
		require.NoError(t, m.Clear(t.Context(), down, ""))
		wait(10 * time.Minute)
		require.Equal(t, Resolved, pager.all()[2].State)
		require.Equal(t, Resolved, boss.all()[len(boss.all())-1].State, "whoever was told of the beginning is told of the end")
		require.ErrorIs(t, m.Ack(t.Context(), down.Fingerprint(), "ann"), ErrNotFound)
	})
}

func TestAckStopsEscalation(t *testing.T) {
	bubble(t, func(t *testing.T) {
		pager, boss := newSink("pager"), newSink("boss")
		m, _ := start(t, Config{Routes: []Route{{To: []Sink{pager}, Then: []Sink{boss}}}})
		require.NoError(t, m.Report(t.Context(), down))
		wait(time.Minute)
		require.NoError(t, m.Ack(t.Context(), down.Fingerprint(), "ann"))
		wait(time.Hour)
		require.Empty(t, boss.all())
	})
}

func TestMoreSevereIsToldAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		pager, chat := newSink("pager"), newSink("chat")
		m, _ := start(t, Config{Routes: []Route{{To: []Sink{chat}}, {To: []Sink{pager}, MinSeverity: Critical}}})
		p := Problem{Rule: Stuck, Destination: "billing", Severity: Warning}
		require.NoError(t, m.Report(t.Context(), p))
		wait(20 * time.Minute)
		require.Empty(t, pager.all())
		p.Severity = Critical
		require.NoError(t, m.Report(t.Context(), p))
		wait(2 * time.Second)
		require.Equal(t, []State{Firing, Escalated}, chat.of(Stuck))
		require.Equal(t, []State{Firing}, pager.of(Stuck))
	})
}

func TestShortBlipTellsNobody(t *testing.T) {
	bubble(t, func(t *testing.T) {
		pager := newSink("pager")
		m, _ := start(t, Config{Routes: []Route{{To: []Sink{pager}}}})
		require.NoError(t, m.Report(t.Context(), down))
		wait(20 * time.Second)
		require.NoError(t, m.Clear(t.Context(), down, ""))
		wait(time.Hour)
		require.Empty(t, pager.all())
	})
}

func TestMemoryIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		pager := newSink("pager")
		m, stop := start(t, Config{MaxOpen: 50, Routes: []Route{{To: []Sink{pager}}}})
		for i := range 20_000 {
			require.NoError(t, m.Report(t.Context(), Problem{Rule: DeadLetter, Destination: "billing", Code: fmt.Sprint(i)}))
		}
		wait(2 * time.Minute)
		got := pager.all()
		require.Len(t, got, 51)
		var total int64
		for _, n := range got {
			total += n.Count
		}
		require.EqualValues(t, 20_000, total, "what overflows is counted")
		m.main.mu.Lock()
		require.LessOrEqual(t, len(m.main.known), 51)
		m.main.mu.Unlock()

		require.NoError(t, m.Clear(t.Context(), Problem{Rule: DeadLetter, Destination: "billing"}, ""))
		wait(20 * time.Minute)
		require.Len(t, pager.all(), 102, "the overflow ends by itself")
		stop()
		wait(25 * time.Hour)
		m.step(t.Context())
		m.step(t.Context())
		require.Empty(t, m.main.states(), "what is over is forgotten after a day")
	})
}

func TestManyResolvedProblemsAreForgottenEarly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m, _ := start(t, Config{MaxOpen: 10, Settle: -1, Routes: []Route{{To: []Sink{newSink("pager")}, Wait: -1}}})
		for i := range 200 {
			p := Problem{Rule: DeadLetter, Code: fmt.Sprint(i)}
			require.NoError(t, m.Report(t.Context(), p))
			wait(2 * time.Second)
			require.NoError(t, m.Clear(t.Context(), p, ""))
			wait(3 * time.Second)
		}
		wait(time.Minute)
		require.LessOrEqual(t, len(m.main.states()), 20)
	})
}

func TestStoreThatFailsSilencesNobody(t *testing.T) {
	bubble(t, func(t *testing.T) {
		pager, store := newSink("pager"), newLeaseStore()
		m, _ := start(t, Config{Store: store, Routes: []Route{{To: []Sink{pager}}}})
		wait(time.Minute)
		store.setBroken(errDown)
		require.NoError(t, m.Report(t.Context(), down))
		wait(2 * time.Minute)
		require.Equal(t, []State{Firing}, pager.of(Down))
		require.Equal(t, []State{Firing}, pager.of(AlertPath), "the store that fails is a problem itself")
		store.setBroken(nil)
		wait(time.Minute)
		require.NoError(t, m.Clear(t.Context(), down, ""))
		wait(10 * time.Minute)
		require.Equal(t, []State{Firing, Resolved}, pager.of(AlertPath))
		open, err := m.Open(t.Context())
		require.NoError(t, err)
		require.Empty(t, open)
		states := pager.of(Down)
		require.Equal(t, Resolved, states[len(states)-1])
	})
}

// TestRunLeavesNothingBehind: a goroutine left behind would make the bubble fail.
func TestRunLeavesNothingBehind(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := newLeaseStore()
		pager := newSink("pager")
		m, stop := start(t, Config{Store: store, Routes: []Route{{To: []Sink{pager}}}})
		require.NoError(t, m.Report(t.Context(), down))
		wait(2 * time.Second)
		for range 9 {
			require.NoError(t, m.Report(t.Context(), down))
		}
		stop()
		require.Empty(t, store.holder, "the lease is handed over")
		row, ok, err := store.memory.LoadProblem(t.Context(), down.Fingerprint())
		require.NoError(t, err)
		require.True(t, ok)
		s, err := decode(row)
		require.NoError(t, err)
		require.EqualValues(t, 10, s.Count, "what was tallied is written")
	})
}

func TestTestReachesEverySink(t *testing.T) {
	t.Parallel()
	pager, boss := newSink("pager"), newSink("boss")
	m, err := New(Config{Routes: []Route{{To: []Sink{pager}, Then: []Sink{boss}}}})
	require.NoError(t, err)
	require.NoError(t, m.Test(t.Context()))
	require.Len(t, pager.all(), 1)
	require.Len(t, boss.all(), 1)
	boss.fail(errDown)
	err = m.Test(t.Context())
	require.ErrorIs(t, err, errDown)
	require.True(t, strings.HasPrefix(err.Error(), "alert: test sink boss: "))
}

func TestNoReportIsLostWhileTheStoreFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := newLeaseStore()
		m, _ := start(t, Config{Store: store, Routes: []Route{{To: []Sink{newSink("pager")}}}})
		require.NoError(t, m.Report(t.Context(), down))
		wait(time.Second)
		store.setBroken(errDown)
		for range 9 {
			require.NoError(t, m.Report(t.Context(), down))
		}
		wait(3 * time.Second)
		store.setBroken(nil)
		wait(3 * time.Second)
		row, _, err := store.memory.LoadProblem(t.Context(), down.Fingerprint())
		require.NoError(t, err)
		s, err := decode(row)
		require.NoError(t, err)
		require.EqualValues(t, 10, s.Count)
	})
}

func TestClearDoesNotEndWhatWasReportedLater(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s := &state{fingerprint: "v1:x"}
	var u tally
	u.add(down, now)
	s.report(u)
	require.False(t, s.clear(clearance{at: now.Add(-time.Second)}))
	require.True(t, s.open())
	require.True(t, s.clear(clearance{at: now.Add(time.Second)}))
	require.False(t, s.open())
}

func TestUnreadableProblemSilencesNoOther(t *testing.T) {
	bubble(t, func(t *testing.T) {
		pager, store := newSink("pager"), newLeaseStore()
		require.NoError(t, store.SaveProblem(t.Context(), Row{Fingerprint: "v1:bad", Body: []byte("{")}))
		m, _ := start(t, Config{Store: store, Routes: []Route{{To: []Sink{pager}}}})
		require.NoError(t, m.Report(t.Context(), down))
		wait(time.Minute)
		require.Equal(t, []State{Firing}, pager.of(Down))
		require.Equal(t, []State{Firing}, pager.of(AlertPath))
	})
}

func TestReportsFromManyGoroutinesAllCount(t *testing.T) {
	bubble(t, func(t *testing.T) {
		pager, store := newSink("pager"), newLeaseStore()
		c := Config{Store: store, Routes: []Route{{To: []Sink{pager}, Wait: -1}}}
		a, _ := start(t, c)
		b, _ := start(t, c)
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				m := []*Manager{a, b}[i%2]
				for range 500 {
					require.NoError(t, m.Report(t.Context(), down))
					time.Sleep(10 * time.Millisecond)
				}
			})
		}
		wg.Wait()
		wait(10 * time.Second)
		require.NoError(t, a.Clear(t.Context(), down, ""))
		wait(5 * time.Minute)
		require.Equal(t, []State{Firing, Resolved}, pager.of(Down))
		require.EqualValues(t, 4000, pager.all()[1].Count)
	})
}
