package main

import (
	"bytes"
	"context"
	"database/sql"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// refused runs the command, which must fail with a message and no panic.
func refused(t *testing.T, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	require.Equal(t, 2, run(t.Context(), args, &stdout, &stderr), "%s", &stdout)
	return stderr.String()
}

// begun runs the command until the directory holds a story.
func begun(t *testing.T, dir string, args ...string) (ended chan string, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	ended = make(chan string, 1)
	go func() {
		var stdout, stderr bytes.Buffer
		run(ctx, append(args, "-dir", dir), &stdout, &stderr)
		ended <- stderr.String()
	}()
	require.Eventually(t, func() bool {
		_, err := os.Stat(filepath.Join(dir, "dovetail.db"))
		return err == nil
	}, time.Minute, 10*time.Millisecond)
	return ended, cancel
}

// TestSecondRunInOneDirectoryIsRefused, and what is stopped says how to go on.
func TestSecondRunInOneDirectoryIsRefused(t *testing.T) {
	t.Parallel()
	dir, file := t.TempDir(), csv(t, 30)
	ended, stop := begun(t, dir, "-orders", file, "-speed", "60")
	require.Contains(t, refused(t, "-dir", dir, "-orders", file), "another run uses the directory "+dir)
	stop()
	require.Contains(t, <-ended, "stopped; run it again with -dir "+dir)
	require.Contains(t, refused(t, "-naive", "-dir", dir, "-orders", file), "holds a story of Dovetail")
}

// TestStoryThatCannotGoOnEndsTheRun: the store loses a table under our feet.
func TestStoryThatCannotGoOnEndsTheRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ended, _ := begun(t, dir, "-orders", csv(t, 300), "-speed", "60")
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: filepath.Join(dir, "store.db")}).EscapedPath()+"?_pragma=busy_timeout(10000)")
	require.NoError(t, err)
	defer db.Close()
	_, err = db.ExecContext(t.Context(), `DROP TABLE orders`)
	require.NoError(t, err)
	select {
	case text := <-ended:
		require.Contains(t, text, "the story cannot go on")
		require.Contains(t, text, "no such table")
	case <-time.After(30 * time.Second):
		require.Fail(t, "it hangs")
	}
}

// TestWhatCannotBeToldIsRefusedInWords: each refusal says what to do instead.
func TestWhatCannotBeToldIsRefusedInWords(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "empty.csv")
	require.NoError(t, os.WriteFile(empty, []byte(header+"\n"), 0o600))
	bad := filepath.Join(t.TempDir(), "bad.csv")
	require.NoError(t, os.WriteFile(bad, []byte(header+"\n"+row(1, 1, 1, "-5")+"\n"), 0o600))
	blocked := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(blocked, nil, 0o600))

	require.Contains(t, refused(t, "-speed", "NaN"), "say a number from 1 to 600")
	require.Contains(t, refused(t, "-speed", "1e-300"), "say a number from 1 to 600")
	require.Contains(t, refused(t, "-orders", empty), "no order to tell")
	require.Contains(t, refused(t, "-orders", bad), "1 rows of the file were set aside")
	require.Contains(t, refused(t, "-dir", filepath.Join(blocked, "x")), "name a directory that you may write to with -dir")
}

// TestEveryBadRowIsShownWhereNothingIsKept: with a temporary directory the file
// of parked rows would be gone with it.
func TestEveryBadRowIsShownWhereNothingIsKept(t *testing.T) {
	t.Parallel()
	var rows []string
	for i := range 30 {
		rows = append(rows, row(900+i, 900+i, 900, "-5"))
	}
	file := filepath.Join(t.TempDir(), "bad.csv")
	require.NoError(t, os.WriteFile(file, []byte(header+"\n"+strings.Join(rows, "\n")), 0o600))
	var stdout, stderr bytes.Buffer
	require.Equal(t, 2, run(t.Context(), []string{"-orders", file}, &stdout, &stderr))
	require.Equal(t, 30, strings.Count(stdout.String(), "parked  line "))

	dir := t.TempDir()
	stdout.Reset()
	require.Equal(t, 2, run(t.Context(), []string{"-orders", file, "-dir", dir}, &stdout, &stderr))
	require.Contains(t, stdout.String(), "and 10 more rows, all in "+dir)
	kept, err := os.ReadFile(filepath.Join(dir, "parked-rows.jsonl"))
	require.NoError(t, err)
	require.Equal(t, 30, bytes.Count(kept, []byte("\n")))
}
