package dovetailtest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/tectari/dovetail/alert"
)

// RunAlertStore checks that a store keeps the contract of alert.Store. open
// returns an empty store for each case.
func RunAlertStore(t *testing.T, open func(t *testing.T) alert.Store) {
	t.Helper()
	for _, c := range []struct {
		name string
		run  func(t *testing.T, s alert.Store)
	}{
		{"Save and load", alertSaveLoad},
		{"A stale writer is refused", alertStale},
		{"Two writers, one wins", alertRace},
		{"Delete needs the version that was read", alertDelete},
		{"List pages in byte order", alertList},
		{"A lease has one holder", alertLease},
		{"A body is the store's own", alertBody},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, open(t))
		})
	}
}

func alertSave(t *testing.T, s alert.Store, fp string, seq int64, body string) {
	t.Helper()
	if err := s.SaveProblem(t.Context(), alert.Row{Fingerprint: fp, Seq: seq, Body: []byte(body)}); err != nil {
		t.Fatalf("SaveProblem(%s, seq %d): %v", fp, seq, err)
	}
}

func alertSaveLoad(t *testing.T, s alert.Store) {
	if _, ok, err := s.LoadProblem(t.Context(), "v1:a"); ok || err != nil {
		t.Fatalf("LoadProblem of nothing = %v, %v; want false and no error", ok, err)
	}
	alertSave(t, s, "v1:a", 0, "one")
	alertSave(t, s, "v1:a", 1, "two")
	r, ok, err := s.LoadProblem(t.Context(), "v1:a")
	if err != nil || !ok || r.Fingerprint != "v1:a" || r.Seq != 2 || string(r.Body) != "two" {
		t.Fatalf("LoadProblem = %+v, %v, %v; want seq 2 and body two: each save adds one to Seq", r, ok, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.SaveProblem(ctx, alert.Row{Fingerprint: "v1:a", Seq: 2}); err == nil {
		t.Error("SaveProblem with a context that is done: no error")
	}
}

func alertStale(t *testing.T, s alert.Store) {
	alertSave(t, s, "v1:a", 0, "one")
	for _, seq := range []int64{0, 2, 7} {
		if err := s.SaveProblem(t.Context(), alert.Row{Fingerprint: "v1:a", Seq: seq, Body: []byte("x")}); !errors.Is(err, alert.ErrStale) {
			t.Errorf("SaveProblem over seq 1 with seq %d: %v; want ErrStale: a count of another process would be lost", seq, err)
		}
	}
	if err := s.SaveProblem(t.Context(), alert.Row{Fingerprint: "v1:b", Seq: 1, Body: []byte("x")}); !errors.Is(err, alert.ErrStale) {
		t.Errorf("SaveProblem of a row that is gone: %v; want ErrStale", err)
	}
	if r, _, err := s.LoadProblem(t.Context(), "v1:a"); err != nil || string(r.Body) != "one" {
		t.Errorf("a refused save left %q, %v", r.Body, err)
	}
}

func alertRace(t *testing.T, s alert.Store) {
	const writers = 8
	alertSave(t, s, "v1:a", 0, "start")
	errs := make([]error, writers)
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			errs[i] = s.SaveProblem(t.Context(), alert.Row{Fingerprint: "v1:a", Seq: 1, Body: fmt.Append(nil, i)})
		})
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		switch {
		case err == nil:
			won++
		case !errors.Is(err, alert.ErrStale):
			t.Errorf("SaveProblem: %v", err)
		}
	}
	if won != 1 {
		t.Errorf("%d of %d writers of one version succeeded; want 1", won, writers)
	}
}

func alertDelete(t *testing.T, s alert.Store) {
	alertSave(t, s, "v1:a", 0, "one")
	alertSave(t, s, "v1:a", 1, "two")
	if err := s.DeleteProblem(t.Context(), "v1:a", 1); !errors.Is(err, alert.ErrStale) {
		t.Errorf("DeleteProblem of an old version: %v; want ErrStale: it may have begun again", err)
	}
	if err := s.DeleteProblem(t.Context(), "v1:a", 2); err != nil {
		t.Errorf("DeleteProblem: %v", err)
	}
	if err := s.DeleteProblem(t.Context(), "v1:a", 2); err != nil {
		t.Errorf("DeleteProblem of a row that is gone: %v; want nil", err)
	}
	alertSave(t, s, "v1:a", 0, "again")
}

func alertList(t *testing.T, s alert.Store) {
	for _, fp := range []string{"v1:b", "v1:B", "v1:é", "v1:a", "v1:c"} {
		alertSave(t, s, fp, 0, fp)
	}
	var got []string
	for after := ""; ; {
		rows, err := s.ListProblems(t.Context(), after, 2)
		if err != nil {
			t.Fatalf("ListProblems: %v", err)
		}
		for _, r := range rows {
			if string(r.Body) != r.Fingerprint || r.Seq != 1 {
				t.Errorf("ListProblems: %+v", r)
			}
			got = append(got, r.Fingerprint)
			after = r.Fingerprint
		}
		if len(rows) < 2 {
			break
		}
	}
	if want := "[v1:B v1:a v1:b v1:c v1:é]"; fmt.Sprint(got) != want {
		t.Errorf("ListProblems by two = %v; want %s: byte order, none twice, none left out", got, want)
	}
}

func alertLease(t *testing.T, s alert.Store) {
	lease := func(holder string, ttl time.Duration, want bool) {
		t.Helper()
		ok, err := s.LeaseAlerts(t.Context(), holder, ttl)
		if err != nil || ok != want {
			t.Errorf("LeaseAlerts(%s) = %v, %v; want %v: two holders would page twice, none would page never", holder, ok, err, want)
		}
	}
	release := func(holder string) {
		t.Helper()
		if err := s.ReleaseAlerts(t.Context(), holder); err != nil {
			t.Errorf("ReleaseAlerts(%s): %v", holder, err)
		}
	}
	release("a")
	lease("a", time.Hour, true)
	lease("b", time.Hour, false)
	lease("a", time.Hour, true)
	release("b")
	lease("b", time.Hour, false)
	release("a")
	lease("b", 20*time.Millisecond, true)
	time.Sleep(100 * time.Millisecond)
	lease("a", time.Hour, true)
	lease("b", time.Hour, false)
}

func alertBody(t *testing.T, s alert.Store) {
	body := []byte("one")
	if err := s.SaveProblem(t.Context(), alert.Row{Fingerprint: "v1:a", Body: body}); err != nil {
		t.Fatalf("SaveProblem: %v", err)
	}
	body[0] = 'X'
	r, _, err := s.LoadProblem(t.Context(), "v1:a")
	if err != nil || string(r.Body) != "one" {
		t.Errorf("the body changed with the caller's slice: %q, %v", r.Body, err)
	}
}
