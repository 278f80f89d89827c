package harness

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail/internal/bench/outbox/server"
)

func TestMedian(t *testing.T) {
	t.Parallel()
	require.Zero(t, median(nil))
	require.InDelta(t, 2, median([]float64{9, 1, 2}), 0)
	require.InDelta(t, 1.5, median([]float64{2, 1}), 0)
}

func TestPairedRatioIgnoresASlowRound(t *testing.T) {
	t.Parallel()
	// The second round was ten times slower for both.
	ours := map[int]Reading{0: {Value: 200}, 1: {Value: 20}, 2: {Value: 220}}
	theirs := map[int]Reading{0: {Value: 100}, 1: {Value: 10}}
	require.InDelta(t, 2, paired(ours, theirs, false), 0)
	require.InDelta(t, 0.5, paired(ours, theirs, true), 0)
	require.Zero(t, paired(ours, nil, false))
}

func TestTable(t *testing.T) {
	t.Parallel()
	s, err := server.OpenSQLite(t.Context(), t.TempDir(), true)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	rows := []Row{
		{Name: "drain", Unit: "/s", Against: Floor, Goal: "≥ 2 best peer"},
		{Name: "late", Unit: "ms", Less: true, Against: Floor},
	}
	b := New(Config{Server: s, Rounds: 1, Measures: []Measure{{Name: "m", Rows: rows}}, Contenders: []Contender{
		{Name: "ours", Role: Ours}, {Name: "slow", Role: Peer}, {Name: "fast", Role: Peer}, {Name: "gone", Role: Peer, Absent: "not to be had"}, {Name: "floor", Role: Floor},
	}})
	b.faults = append(b.faults, errors.New("something broke"))
	table := newTable(b)
	table.add("ours", 0, Reading{Row: "drain", Value: 200_000, CPU: 0.5})
	table.add("slow", 0, Reading{Row: "drain", Value: 500})
	table.add("fast", 0, Reading{Row: "drain", Value: 80_000, CPU: 1.25})
	table.add("floor", 0, Reading{Row: "drain", Value: 250_000})
	table.add("ours", 0, Reading{Row: "late", Value: 0.25})
	table.add("slow", 0, Reading{Row: "late", Value: 50})
	table.add("fast", 0, Reading{Row: "late", Value: 0.5})
	var out strings.Builder
	require.NoError(t, table.Markdown(&out))
	require.Contains(t, out.String(), "| measure | ours | slow | fast | floor | ours to best peer | ours to floor or bare | goal |")
	require.Contains(t, out.String(), "| drain | 200k/s (0.5) | 500/s ×400 | 80k/s (1.25) ×2.5 | 250k/s ×0.8 | 2.5 × fast | 0.8 × floor | ≥ 2 best peer |")
	require.Contains(t, out.String(), "| late | 0.25 ms | 50 ms ×200 | 0.5 ms ×2 | - | 2 × fast | - |  |")
	require.Contains(t, out.String(), "- gone: not measured: not to be had.")
	require.Contains(t, out.String(), "- FAILED: something broke")
}
