package alert

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

var errDown = errors.New("sink is down")

// fakeSink keeps what it is sent, and fails or hangs when told to.
type fakeSink struct {
	name string

	mu   sync.Mutex
	got  []Notification
	at   []time.Time
	err  error
	hang chan struct{}
}

func newSink(name string) *fakeSink { return &fakeSink{name: name} }

func (s *fakeSink) Name() string { return s.name }

func (s *fakeSink) Send(ctx context.Context, n Notification) error {
	s.mu.Lock()
	err, hang := s.err, s.hang
	s.mu.Unlock()
	if hang != nil {
		select {
		case <-hang:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got, s.at = append(s.got, n), append(s.at, time.Now())
	return nil
}

func (s *fakeSink) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *fakeSink) all() []Notification {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Notification(nil), s.got...)
}

// of returns the states of what was sent about a rule.
func (s *fakeSink) of(r Rule) []State {
	var states []State
	for _, n := range s.all() {
		if n.Problem.Rule == r {
			states = append(states, n.State)
		}
	}
	return states
}

// leaseStore is a memory with a real lease, for several managers in one test, and
// a switch that makes it fail.
type leaseStore struct {
	*memory
	mu     sync.Mutex
	holder string
	until  time.Time
	broken error
	calls  int
}

func newLeaseStore() *leaseStore { return &leaseStore{memory: newMemory()} }

func (s *leaseStore) setBroken(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = err
}

func (s *leaseStore) fault() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	return s.broken
}

func (s *leaseStore) LoadProblem(ctx context.Context, fp string) (Row, bool, error) {
	if err := s.fault(); err != nil {
		return Row{}, false, err
	}
	return s.memory.LoadProblem(ctx, fp)
}

func (s *leaseStore) ListProblems(ctx context.Context, after string, limit int) ([]Row, error) {
	if err := s.fault(); err != nil {
		return nil, err
	}
	return s.memory.ListProblems(ctx, after, limit)
}

func (s *leaseStore) LeaseAlerts(_ context.Context, holder string, ttl time.Duration) (bool, error) {
	if err := s.fault(); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holder != "" && s.holder != holder && time.Now().Before(s.until) {
		return false, nil
	}
	s.holder, s.until = holder, time.Now().Add(ttl)
	return true, nil
}

func (s *leaseStore) ReleaseAlerts(_ context.Context, holder string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holder == holder {
		s.holder = ""
	}
	return nil
}

// start makes a manager and runs it until the test ends or stop is called.
func start(t *testing.T, c Config) (m *Manager, stop func()) {
	t.Helper()
	m, err := New(c)
	require.NoError(t, err)
	return m, run(t, m)
}

func run(t *testing.T, m *Manager) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			require.NoError(t, <-done)
		})
	}
	t.Cleanup(stop)
	return stop
}

func wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func bubble(t *testing.T, fn func(t *testing.T)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, fn)
}
