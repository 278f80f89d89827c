package main

import (
	"bytes"
	"context"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestMain lets the test binary be the command itself, so that a child of it can
// be killed.
func TestMain(m *testing.M) {
	if args := os.Getenv("STOREACCOUNTING_ARGS"); args != "" {
		os.Exit(run(context.Background(), strings.Split(args, "\x1f"), os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

const header = `"Row ID","Order ID","Order Date","Ship Date","Ship Mode","Customer ID","Customer Name","Segment","Country","City","State","Postal Code","Region","Product ID","Category","Sub-Category","Product Name","Sales","Quantity","Discount","Profit"`

// csv writes an order history of n orders by a third as many customers.
func csv(t *testing.T, n int, more ...string) string {
	t.Helper()
	var b strings.Builder
	b.WriteString(header + "\n")
	for i := range n {
		b.WriteString(row(i+1, i, i/3, "12.345") + "\n")
	}
	b.WriteString(strings.Join(more, "\n"))
	path := filepath.Join(t.TempDir(), "orders.csv")
	require.NoError(t, os.WriteFile(path, []byte(b.String()), 0o600))
	return path
}

func row(id, order, customer int, sales string) string {
	return strings.NewReplacer("{id}", itoa(id), "{o}", itoa(1000+order), "{c}", itoa(100+customer), "{s}", sales).Replace(
		`{id},"CA-2016-{o}",2016-11-08,2016-11-11,"Second Class","CG-{c}","Claire  Gute {c}","Consumer","United States","Henderson","Kentucky",42420,"South","FUR-BO-1","Furniture","Bookcases","A Bookcase",{s},2,0,1.5`)
}

func itoa(n int) string {
	b, _ := json.Marshal(n) // a number always encodes
	return string(b)
}

// tale runs the command and returns its exit code, its result and its output.
func tale(t *testing.T, args ...string) (code int, r result, out string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = run(t.Context(), append(args, "-json"), &stdout, &stderr)
	require.Empty(t, stderr.String())
	return code, last(t, stdout.String()), stdout.String()
}

// last is the JSON object on the last line of a run.
func last(t *testing.T, out string) result {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var r result
	require.NoError(t, json.Unmarshal([]byte(lines[len(lines)-1]), &r), "%s", out)
	return r
}

// TestStoryEndsInAgreementAndAgainWritesNothing: the story on few orders ends
// clean, and the same directory again makes no write.
func TestStoryEndsInAgreementAndAgainWritesNothing(t *testing.T) {
	t.Parallel()
	dir, file := t.TempDir(), csv(t, 90)
	code, r, out := tale(t, "-dir", dir, "-orders", file, "-speed", "400")
	require.Zero(t, code, "%s", out)
	require.Equal(t, 90, r.Orders)
	require.Positive(t, r.DuplicatesSuppressed, "every webhook fires twice")
	require.Regexp(t, `20 story minutes down: work waited, [1-9]\d* calls met a closed door`, out)
	// One outage: told while it lasts, and its end.
	require.Len(t, regexp.MustCompile(`ALERT  CRITICAL: .*(system is down|cannot be read)`).FindAllString(out, -1), 1, "%s", out)
	require.Equal(t, strings.Count(out, "ALERT  CRITICAL"), strings.Count(out, "ALERT  RESOLVED"), "%s", out)
	code, r, out = tale(t, "-dir", dir, "-orders", file, "-speed", "400")
	require.Zero(t, code, "%s", out)
	require.Zero(t, r.Writes, "%s", out)
	require.Contains(t, out, "the outage was over before this run began")
}

// TestBadRowsAreParkedAndTheRestGoesThrough: each kind of bad row is reported by
// its line, with the reason.
func TestBadRowsAreParkedAndTheRestGoesThrough(t *testing.T) {
	t.Parallel()
	file := csv(t, 6,
		row(90, 90, 90, "-5"), row(91, 91, 91, "many"), strings.Replace(row(92, 92, 92, "1"), "2016-11-08", "soon", 1),
		strings.Replace(row(93, 93, 93, "1"), `"CA-2016-1093"`, `""`, 1), row(94, 94, 94, "1")[:40], "95,\"CA-\xff\xfe\"")
	code, r, out := tale(t, "-orders", file, "-speed", "600")
	require.Zero(t, code, "%s", out)
	require.Equal(t, 6, r.Orders, "%s", out)
	require.GreaterOrEqual(t, r.Parked, int64(6), "%s", out)
	require.Contains(t, out, "line 8 ")
}

// TestNaiveSyncBreaksAndNamesWhat: the sync that everyone writes first, on the
// same story, ends with a code that is not zero and says which records broke.
func TestNaiveSyncBreaksAndNamesWhat(t *testing.T) {
	t.Parallel()
	code, r, out := tale(t, "-naive", "-orders", csv(t, 600), "-speed", "400")
	require.NotZero(t, code, "%s", out)
	require.Positive(t, r.Lost+r.Duplicated+r.Disagreeing)
	require.Regexp(t, `- (order|customer) C`, out)
}

// TestKilledAnywhereEndsTheSame kills a real process of the command at random
// moments, twenty times and more, and lets it end: the end is the same.
func TestKilledAnywhereEndsTheSame(t *testing.T) {
	t.Parallel()
	dir, file := t.TempDir(), csv(t, 240)
	args := []string{"-dir", dir, "-orders", file, "-speed", "200", "-json"}
	child := func() (*exec.Cmd, *bytes.Buffer) {
		cmd := exec.Command(os.Args[0]) // #nosec G702 -- this test binary
		cmd.Env = append(os.Environ(), "STOREACCOUNTING_ARGS="+strings.Join(args, "\x1f"))
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		require.NoError(t, cmd.Start())
		return cmd, &out
	}
	kills := 0
	for kills < 22 {
		cmd, out := child()
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case err := <-ended:
			require.NoError(t, err, "%s", out)
			t.Logf("%d kills", kills)
			require.GreaterOrEqual(t, kills, 20, "the story ended before it was killed often enough")
			return
		case <-time.After(time.Duration(400+rand.IntN(500)) * time.Millisecond):
			require.NoError(t, cmd.Process.Kill())
			<-ended
			kills++
		}
	}
	t.Logf("%d kills", kills)
	cmd, out := child()
	require.NoError(t, cmd.Wait(), "after %d kills:\n%s", kills, out)
	r := last(t, out.String())
	require.Zero(t, r.Lost+r.Duplicated+r.Disagreeing, "%s", out)
	require.Equal(t, 240, r.Orders)
}
