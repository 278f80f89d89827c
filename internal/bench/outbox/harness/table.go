package harness

import (
	"fmt"
	"io"
	"strings"
)

// A Table is what was measured on one server.
type Table struct {
	bench    *Bench
	readings map[string]map[string]map[int]Reading // row, contender, round
}

func newTable(b *Bench) *Table {
	return &Table{bench: b, readings: map[string]map[string]map[int]Reading{}}
}

func (t *Table) add(contender string, round int, r Reading) {
	if t.readings[r.Row] == nil {
		t.readings[r.Row] = map[string]map[int]Reading{}
	}
	if t.readings[r.Row][contender] == nil {
		t.readings[r.Row][contender] = map[int]Reading{}
	}
	t.readings[r.Row][contender][round] = r
}

// Markdown writes the table: a line for each row, a column for each contender, in
// each cell the median, in parentheses the CPU seconds for 100,000 events, and how
// many times better ours is.
func (t *Table) Markdown(w io.Writer) error {
	var out strings.Builder
	columns := t.columns()
	fmt.Fprintf(&out, "## %s\n\nMedians of %d rounds; in parentheses CPU seconds per 100,000 events, this process and the server; "+
		"×, how many times better ours is (the median of the ratios of each round). A dash: it cannot do that, or it failed (see below).\n\n",
		t.bench.server.About(), t.bench.config.Rounds)
	out.WriteString("| measure |")
	for _, c := range columns {
		fmt.Fprintf(&out, " %s |", c.Name)
	}
	out.WriteString(" ours to best peer | ours to floor or bare | goal |\n|---|" + strings.Repeat("---|", len(columns)+3) + "\n")
	for _, m := range t.bench.config.Measures {
		for _, row := range m.Rows {
			t.line(&out, row, columns)
		}
	}
	t.legend(&out)
	_, err := io.WriteString(w, out.String())
	return err
}

// columns are the contenders that ran, ours first, the floors last.
func (t *Table) columns() []Contender {
	var list []Contender
	for role := Ours; role <= Bare; role++ {
		for _, c := range t.bench.config.Contenders {
			if c.Role == role && c.Absent == "" {
				list = append(list, c)
			}
		}
	}
	return list
}

func (t *Table) line(out *strings.Builder, row Row, columns []Contender) {
	ours := t.best(row, Ours)
	fmt.Fprintf(out, "| %s |", row.Name)
	for _, c := range columns {
		text := t.cell(row, c)
		if x := t.times(row, ours, &c); x > 0 && c.Role != Ours {
			text += fmt.Sprintf(" ×%.3g", x)
		}
		fmt.Fprintf(out, " %s |", text)
	}
	fmt.Fprintf(out, " %s | %s | %s |\n", t.ratio(row, ours, t.best(row, Peer)), t.ratio(row, ours, t.best(row, row.Against)), row.Goal)
}

// cell is what one contender showed.
func (t *Table) cell(row Row, c Contender) string {
	rounds := t.readings[row.Name][c.Name]
	if len(rounds) == 0 {
		return "-"
	}
	var cpu []float64
	for _, r := range rounds {
		if r.CPU > 0 {
			cpu = append(cpu, r.CPU)
		}
	}
	text := quantity(t.value(row, c), row.Unit)
	if len(cpu) > 0 {
		text += fmt.Sprintf(" (%.3g)", median(cpu))
	}
	return text
}

func (t *Table) value(row Row, c Contender) float64 {
	var values []float64
	for _, r := range t.readings[row.Name][c.Name] {
		values = append(values, r.Value)
	}
	return median(values)
}

// best returns the best contender of a role in a row, or nil.
func (t *Table) best(row Row, role Role) *Contender {
	var best *Contender
	for i, c := range t.bench.config.Contenders {
		if c.Role != role || len(t.readings[row.Name][c.Name]) == 0 {
			continue
		}
		if best == nil || (t.value(row, c) > t.value(row, *best)) != row.Less {
			best = &t.bench.config.Contenders[i]
		}
	}
	return best
}

// times returns how many times better ours is than another, 0 if nobody knows.
func (t *Table) times(row Row, ours, other *Contender) float64 {
	if ours == nil || other == nil {
		return 0
	}
	return paired(t.readings[row.Name][ours.Name], t.readings[row.Name][other.Name], row.Less)
}

// ratio says the same in words.
func (t *Table) ratio(row Row, ours, other *Contender) string {
	x := t.times(row, ours, other)
	if x == 0 {
		return "-"
	}
	return fmt.Sprintf("%.3g × %s", x, other.Name)
}

// legend says what the columns are.
func (t *Table) legend(out *strings.Builder) {
	out.WriteString("\n")
	for _, c := range t.columns() {
		fmt.Fprintf(out, "- %s: %s; %s.", c.Name, c.Version, c.Settings)
		if notes := t.bench.notes[c.Name]; len(notes) > 0 {
			fmt.Fprintf(out, " In this run: %s.", strings.Join(notes, "; "))
		}
		out.WriteString("\n")
	}
	for _, c := range t.bench.config.Contenders {
		if c.Absent != "" {
			fmt.Fprintf(out, "- %s: not measured: %s.\n", c.Name, c.Absent)
		}
	}
	for _, err := range t.bench.faults {
		fmt.Fprintf(out, "- FAILED: %s\n", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	out.WriteString("\n")
}

// quantity writes a value with three digits and its unit.
func quantity(v float64, unit string) string {
	switch unit {
	case "/s":
		if v >= 1000 {
			return fmt.Sprintf("%.4gk/s", v/1000)
		}
		return fmt.Sprintf("%.3g/s", v)
	case "ms":
		return fmt.Sprintf("%.3g ms", v)
	case "B":
		return fmt.Sprintf("%.0f B", v)
	case "%":
		return fmt.Sprintf("%.0f %%", v)
	}
	return fmt.Sprintf("%.2f%s", v, unit)
}
