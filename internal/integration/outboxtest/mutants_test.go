package outboxtest

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail/outbox"
)

// A mutant is a store that is wrong in one way, and the scenario that notices.
type mutant struct {
	name string
	// make makes it of a right one.
	make func(e *env, right outbox.Store) outbox.Store
	// scenario must turn red on it, on this kind of database, and say one of these.
	scenario string
	on       kind
	says     []string
}

// A trial is a test that is expected to fail. It keeps what was said.
type trial struct {
	testing.TB
	mu     sync.Mutex
	failed bool
	said   []string
	ends   []func()
}

// Errorf keeps why the scenario is red.
func (t *trial) Errorf(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed = true
	t.said = append(t.said, fmt.Sprintf(format, args...))
}

// Error is Errorf without a format.
func (t *trial) Error(args ...any) { t.Errorf("%v", args) }

// Fatal ends the scenario.
func (t *trial) Fatal(args ...any) {
	t.Errorf("%v", args)
	t.FailNow()
}

// FailNow ends the goroutine of the scenario.
func (t *trial) FailNow() {
	t.mu.Lock()
	t.failed = true
	t.mu.Unlock()
	runtime.Goexit()
}

// Cleanup keeps f for the end of the trial.
func (t *trial) Cleanup(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ends = append(t.ends, f)
}

// run plays f to its end and cleans up.
func (t *trial) run(f func(testing.TB)) {
	played := make(chan struct{})
	go func() {
		defer close(played)
		f(t)
	}()
	<-played
	cleaned := make(chan struct{})
	go func() {
		defer close(cleaned)
		for _, end := range slices.Backward(t.ends) {
			end()
		}
	}()
	<-cleaned
}

// TestMutantsDie: each wrong store turns the scenario red that is named for it. The
// same scenarios are green on the right one.
func TestMutantsDie(t *testing.T) {
	t.Parallel()
	byName := map[string]scenario{}
	for _, s := range scenarios() {
		byName[s.name] = s
	}
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			s, ok := byName[m.scenario]
			require.True(t, ok && !s.own && (s.on == nil || slices.Contains(s.on, m.on)), "no scenario %s on %s", m.scenario, m.on)
			try := &trial{TB: t}
			try.run(func(tb testing.TB) {
				e := newEnv(tb, m.on)
				e.patience = 6 * time.Second
				e.keeper = m.make(e, e.store)
				s.run(e)
			})
			said := strings.Join(try.said, "\n")
			require.True(t, try.failed, "the mutant survives")
			require.True(t, slices.ContainsFunc(m.says, func(words string) bool { return strings.Contains(said, words) }), "it dies of something else: %s", said)
		})
	}
}
