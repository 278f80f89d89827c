package alert

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/tectari/dovetail"
)

// A Route says who is told of which problems. Every route that matches a problem
// is used; a sink that several routes name is told once.
type Route struct {
	// Rules are the rules it is for. Defaults to every rule.
	Rules []Rule
	// MinSeverity is the least severity it is for. Defaults to any.
	MinSeverity Severity
	// To are the sinks that are told. Required.
	To []Sink
	// Wait is how long a problem must be open before they are told. Defaults to
	// 30 s; a negative value means at once.
	Wait time.Duration
	// Repeat is how often they are told again while it is open. Defaults to 4 h;
	// a negative value means never.
	Repeat time.Duration
	// Escalate is how long after its beginning the sinks in Then are told, unless
	// somebody acknowledged it. Defaults to 15 min where Then is set.
	Escalate time.Duration
	// Then are the sinks that are told when nobody took it. Defaults to none.
	Then []Sink
}

// A Config sets up a Manager.
type Config struct {
	// Store keeps problems across crashes and between processes. Without one they
	// are kept in memory: what is open when the process ends is forgotten, so its
	// end is never told, and each process tells for itself. Defaults to memory.
	Store Store
	// Routes say who is told. Required.
	Routes []Route
	// AllowSilence permits a configuration in which a critical problem reaches no
	// person. Defaults to false.
	AllowSilence bool
	// Settle is how long a problem must stay cleared before it is told as
	// resolved. One that came back is held twice as long each time, up to an
	// hour. Defaults to 1 min; a negative value means at once.
	Settle time.Duration
	// MaxOpen is how many problems are held apart. Defaults to 1000.
	MaxOpen int
	// Observer is told what the manager does. Defaults to slog.Default for
	// failures, and nothing else.
	Observer dovetail.Observer
}

func (r Route) matches(rule Rule, s Severity) bool {
	return (len(r.Rules) == 0 || slices.Contains(r.Rules, rule)) && s >= r.MinSeverity
}

// check returns every fault of c.
func (c Config) check() error {
	faults := dovetail.Faults{Package: "alert"}
	if len(c.Routes) == 0 && !c.AllowSilence {
		faults.Add("ALERT001", "Config.Routes", "nobody is told of anything",
			"add alert.Route{To: []alert.Sink{pager}}, or set AllowSilence to run without")
		return faults.Err()
	}
	names := map[string]Sink{}
	for i, r := range c.Routes {
		where := fmt.Sprintf("Config.Routes[%d]", i)
		if len(r.To) == 0 {
			faults.Add("ALERT002", where+".To", "no sink", "name at least one sink")
		}
		if r.MinSeverity > Critical {
			faults.Add("ALERT003", where+".MinSeverity", r.MinSeverity.String()+" is not a severity", "use alert.Info, Warning or Critical")
		}
		if r.Escalate < 0 {
			faults.Add("ALERT004", where+".Escalate", "is negative", "leave Then empty to escalate to nobody")
		}
		if r.Escalate > 0 && len(r.Then) == 0 {
			faults.Add("ALERT005", where+".Then", "no sink to escalate to", "name a sink, or leave Escalate at zero")
		}
		for _, s := range slices.Concat(r.To, r.Then) {
			checkSink(&faults, where, s, names)
		}
	}
	if c.MaxOpen < 0 {
		faults.Add("ALERT008", "Config.MaxOpen", "is negative", "leave it at zero for 1000")
	}
	if !c.AllowSilence {
		c.checkReach(&faults)
	}
	return faults.Err()
}

func checkSink(faults *dovetail.Faults, where string, s Sink, names map[string]Sink) {
	if s == nil {
		faults.Add("ALERT006", where, "a sink is nil", "remove it, or check the error of its constructor")
		return
	}
	name := s.Name()
	if name == "" {
		faults.Add("ALERT007", where, "a sink has no name", "return a name from its Name method")
		return
	}
	if other, ok := names[name]; ok && !same(other, s) {
		faults.Add("ALERT007", where, fmt.Sprintf("two sinks are named %q", name), "give each sink its own name")
	}
	names[name] = s
}

// same reports whether a and b are one sink. Of values that cannot be compared
// nobody can tell, so they are.
func same(a, b Sink) bool {
	if !reflect.ValueOf(a).Comparable() || !reflect.ValueOf(b).Comparable() {
		return reflect.TypeOf(a) == reflect.TypeOf(b)
	}
	return a == b
}

// checkReach adds a fault that names the rules whose critical problems would
// reach no person.
func (c Config) checkReach(faults *dovetail.Faults) {
	var silent []string
	for _, rule := range Rules() {
		if !c.reaches(rule) {
			silent = append(silent, string(rule))
		}
	}
	if !c.reaches("") {
		silent = append(silent, "rules of the program's own")
	}
	if len(silent) > 0 {
		faults.Add("ALERT009", "Config.Routes", "a critical problem would reach nobody for "+strings.Join(silent, ", "),
			"add a route without Rules to a sink that a person sees (a log is not one), or set AllowSilence")
	}
}

func (c Config) reaches(rule Rule) bool {
	for _, r := range c.Routes {
		if !r.matches(rule, Critical) {
			continue
		}
		for _, s := range slices.Concat(r.To, r.Then) {
			if _, records := s.(Recorder); s != nil && !records {
				return true
			}
		}
	}
	return false
}
