package alert

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tectari/dovetail"
)

func TestNewRefusesACriticalProblemThatReachesNobody(t *testing.T) {
	t.Parallel()
	pager := newSink("pager")
	for name, c := range map[string]struct {
		config Config
		want   []string // nil: accepted
	}{
		"no routes":               {Config{}, []string{"ALERT001", "nobody is told"}},
		"silence on request":      {Config{AllowSilence: true}, nil},
		"a pager":                 {Config{Routes: []Route{{To: []Sink{pager}}}}, nil},
		"only a log":              {Config{Routes: []Route{{To: []Sink{Log(nil)}}}}, []string{"ALERT009", "down, ", "auth", "brake", "own"}},
		"log, silence on request": {Config{AllowSilence: true, Routes: []Route{{To: []Sink{Log(nil)}}}}, nil},
		"log, escalates to pager": {Config{Routes: []Route{{To: []Sink{Log(nil)}, Then: []Sink{pager}}}}, nil},
		"one rule is missing":     {Config{Routes: []Route{{Rules: append(Rules()[1:], ""), To: []Sink{pager}}}}, []string{"would reach nobody for stuck;"}},
		"no route for own rules":  {Config{Routes: []Route{{Rules: Rules(), To: []Sink{pager}}}}, []string{"rules of the program's own"}},
		"nil sink":                {Config{Routes: []Route{{To: []Sink{nil, pager}}}}, []string{"ALERT006"}},
		"no sink":                 {Config{Routes: []Route{{}, {To: []Sink{pager}}}}, []string{"ALERT002"}},
		"no name":                 {Config{Routes: []Route{{To: []Sink{newSink("")}}}}, []string{"ALERT007"}},
		"two of one name":         {Config{Routes: []Route{{To: []Sink{pager, newSink("pager")}}}}, []string{"ALERT007", `"pager"`}},
		"one sink twice":          {Config{Routes: []Route{{To: []Sink{pager}}, {To: []Sink{pager}}}}, nil},
		"escalates to nobody":     {Config{Routes: []Route{{To: []Sink{pager}, Escalate: time.Hour}}}, []string{"ALERT005"}},
		"negative escalate":       {Config{Routes: []Route{{To: []Sink{pager}, Then: []Sink{pager}, Escalate: -1}}}, []string{"ALERT004"}},
		"bad severity":            {Config{Routes: []Route{{To: []Sink{pager}, MinSeverity: 9}, {To: []Sink{pager}}}}, []string{"ALERT003"}},
		"negative cap":            {Config{MaxOpen: -1, Routes: []Route{{To: []Sink{pager}}}}, []string{"ALERT008"}},
		"every fault at once":     {Config{MaxOpen: -1, Routes: []Route{{To: []Sink{Log(slog.Default())}, Escalate: time.Hour}}}, []string{"ALERT005", "ALERT008", "ALERT009"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, err := New(c.config)
			if c.want == nil {
				require.NoError(t, err)
				require.NotNil(t, m)
				return
			}
			var faults *dovetail.Faults
			require.ErrorAs(t, err, &faults)
			for _, want := range c.want {
				require.ErrorContains(t, err, want)
			}
		})
	}
}
