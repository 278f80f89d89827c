package crashtest

import (
	"database/sql"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tectari/dovetail/dovetailtest"
)

// seam is one database behind a crasher, and our own eyes on it.
type seam struct {
	crasher  *dovetailtest.Crasher
	db, look *sql.DB
}

func openSeam(t *testing.T, strike dovetailtest.Strike, meanwhile func()) seam {
	t.Helper()
	w := newWorld(t)
	_, err := w.look.ExecContext(t.Context(), "CREATE TABLE told (what TEXT)")
	require.NoError(t, err)
	inner, err := openConnector(w.path)
	require.NoError(t, err)
	s := seam{look: w.look, crasher: dovetailtest.NewCrasher(dovetailtest.CrashConfig{Strike: strike, Meanwhile: meanwhile})}
	s.db = sql.OpenDB(s.crasher.Connector(inner))
	t.Cleanup(func() {
		require.NoError(t, s.db.Close())
		require.NoError(t, s.look.Close())
	})
	return s
}

// tell writes in a transaction.
func (s seam) tell(t *testing.T, what string) error {
	t.Helper()
	tx, err := s.db.BeginTx(t.Context(), nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	if _, err := tx.ExecContext(t.Context(), "INSERT INTO told VALUES (?)", what); err != nil {
		return err
	}
	return tx.Commit()
}

func (s seam) told(t *testing.T) (n int) {
	t.Helper()
	require.NoError(t, s.look.QueryRowContext(t.Context(), "SELECT count(*) FROM told").Scan(&n))
	return n
}

// TestCrasherFaultsOfACommit: what each fault leaves in the database, and whether
// the process lives on.
func TestCrasherFaultsOfACommit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fault  dovetailtest.Fault
		label  string
		told   int // by the transaction that is struck
		err    error
		others int // told by others meanwhile
	}{
		{dovetailtest.DieBefore, "commit", 0, dovetailtest.ErrCrashed, 0},
		{dovetailtest.DieAfter, "commit", 1, dovetailtest.ErrCrashed, 0},
		{dovetailtest.FailBefore, "commit", 0, dovetailtest.ErrStruck, 0},
		{dovetailtest.LoseReply, "commit", 1, dovetailtest.ErrStruck, 0},
		{dovetailtest.PauseBefore, "begin", 1, nil, 1},
		{dovetailtest.PauseAfter, "commit", 1, nil, 1},
		{dovetailtest.ActBefore, "begin", 1, nil, 1},
		{dovetailtest.ActAfter, "commit", 1, nil, 1},
	} {
		t.Run(c.fault.String(), func(t *testing.T) {
			t.Parallel()
			var s seam
			s = openSeam(t, dovetailtest.Strike{Label: c.label + " crashtest.seam.tell", Nth: 2, Fault: c.fault}, func() {
				_, err := s.look.ExecContext(t.Context(), "INSERT INTO told VALUES ('by somebody else')")
				require.NoError(t, err)
			})
			require.NoError(t, s.tell(t, "first"))
			require.ErrorIs(t, s.tell(t, "second"), c.err)
			require.True(t, s.crasher.Struck())
			require.Equal(t, 1+c.told+c.others, s.told(t))
			if c.fault.Deadly() {
				require.True(t, s.crasher.Dead())
				require.Error(t, s.crasher.Context().Err())
				require.Error(t, s.tell(t, "from beyond"))
				_, err := s.db.ExecContext(t.Context(), "INSERT INTO told VALUES ('from beyond')")
				require.Error(t, err)
				require.Equal(t, 1+c.told, s.told(t), "a dead process has no effect")
				return
			}
			require.NoError(t, s.tell(t, "third"))
			require.Equal(t, 2+c.told+c.others, s.told(t))
		})
	}
}

// TestCrasherDeathRollsBackOthers: a transaction of another goroutine is rolled
// back when the process dies, so that its locks hold up nobody.
func TestCrasherDeathRollsBackOthers(t *testing.T) {
	t.Parallel()
	s := openSeam(t, dovetailtest.Strike{}, nil)
	tx, err := s.db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), "INSERT INTO told VALUES ('never')")
	require.NoError(t, err)
	rows, err := tx.QueryContext(t.Context(), "SELECT what FROM told")
	require.NoError(t, err)
	require.True(t, rows.Next())
	s.crasher.Kill()
	require.ErrorIs(t, tx.Commit(), dovetailtest.ErrCrashed)
	require.False(t, rows.Next())
	require.NoError(t, rows.Close())
	_, err = s.look.ExecContext(t.Context(), "INSERT INTO told VALUES ('at once')")
	require.NoError(t, err)
	require.Equal(t, 1, s.told(t))
}

// TestCrasherAutocommitIsAnEffect: a statement outside a transaction is struck
// like a commit, also one that returns rows, or is prepared.
func TestCrasherAutocommitIsAnEffect(t *testing.T) {
	t.Parallel()
	insert := map[string]func(t *testing.T, s seam) error{
		"exec": func(t *testing.T, s seam) error {
			_, err := s.db.ExecContext(t.Context(), "INSERT INTO told VALUES ('x')")
			return err
		},
		"returning": func(t *testing.T, s seam) error {
			var what string
			return s.db.QueryRowContext(t.Context(), "INSERT INTO told VALUES ('x') RETURNING what").Scan(&what)
		},
		"prepared": func(t *testing.T, s seam) error {
			stmt, err := s.db.PrepareContext(t.Context(), "INSERT INTO told VALUES (?)")
			if err != nil {
				return err
			}
			defer stmt.Close()
			_, err = stmt.ExecContext(t.Context(), "x")
			return err
		},
	}
	for name, do := range insert {
		for fault, want := range map[dovetailtest.Fault]int{dovetailtest.FailBefore: 0, dovetailtest.LoseReply: 1} {
			t.Run(name+" "+fault.String(), func(t *testing.T) {
				t.Parallel()
				label := "exec crashtest.TestCrasherAutocommitIsAnEffect"
				s := openSeam(t, dovetailtest.Strike{Label: label, Nth: 1, Fault: fault}, nil)
				require.ErrorIs(t, do(t, s), dovetailtest.ErrStruck, "%v", s.crasher.Labels())
				require.Equal(t, want, s.told(t))
				require.NoError(t, do(t, s))
				require.Equal(t, want+1, s.told(t))
			})
		}
	}
}

// TestCrasherPauseHoldsTheWholeProcess: while one goroutine stands still before
// its request, no other has an effect.
func TestCrasherPauseHoldsTheWholeProcess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shop, _ := newServices()
		var c *dovetailtest.Crasher //nolint:staticcheck // its own configuration refers to it
		c = dovetailtest.NewCrasher(dovetailtest.CrashConfig{
			Strike: dovetailtest.Strike{Label: "POST /customers", Nth: 1, Fault: dovetailtest.PauseBefore},
			Meanwhile: func() {
				pause(time.Hour)
				require.Empty(t, shop.all("orders"), "another goroutine went on")
			},
		})
		client := &http.Client{Transport: c.Transport(shop)}
		post := func(path string) {
			res, err := client.Post("http://shop/"+path, "", strings.NewReader("{}"))
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
		}
		go func() {
			pause(time.Minute)
			post("orders")
		}()
		post("customers")
		synctest.Wait()
		require.Len(t, shop.all("customers"), 1)
		require.Len(t, shop.all("orders"), 1)
	})
}
