package alert

import (
	"slices"
	"strconv"
	"time"
)

// A Rule is a kind of problem. Programs may use rules of their own; those are
// critical unless the problem says otherwise, and go to routes that name no rule
// or name them.
type Rule string

// The rules of the library.
const (
	// Stuck: the oldest waiting message of a destination is too old.
	Stuck Rule = "stuck"
	// Down: a system does not answer, or every call to it fails.
	Down Rule = "down"
	// DeadLetter: messages were given up and wait for a person.
	DeadLetter Rule = "dead-letter"
	// InDoubt: a write was sent, its outcome is unknown, and only a person can
	// find out.
	InDoubt Rule = "in-doubt"
	// Auth: a system refuses our credentials.
	Auth Rule = "auth"
	// Silent: a source that should speak does not.
	Silent Rule = "silent"
	// Drift: an audit found that systems disagree.
	Drift Rule = "drift"
	// Contract: a system's answers changed shape, or it announces an end.
	Contract Rule = "contract"
	// Budget: a quota is nearly used up.
	Budget Rule = "budget"
	// TugOfWar: two parties keep changing the same field back and forth.
	TugOfWar Rule = "tug-of-war"
	// AlertPath: a sink does not take notifications.
	AlertPath Rule = "alert-path"
	// Trespass: a system wrote a field that another system owns.
	Trespass Rule = "trespass"
	// ParkedRecord: a record was set aside because nothing could decide it.
	ParkedRecord Rule = "parked"
	// Brake: a run stopped before its first write because it would have changed
	// or deleted too much.
	Brake Rule = "brake"
)

// ruleText is what is known of a rule without a problem at hand.
type ruleText struct {
	rule     Rule
	severity Severity
	title    string
	hint     string
	// under are the rules that, open for the same system, already say what this
	// one would say.
	under []Rule
	// rest is how long nothing must have happened for the problem to be over, where
	// it is events, of which nobody can say that they have ended. Zero: whoever
	// reported it clears it.
	rest time.Duration
}

// texts holds every rule of the library, in the order of the constants.
func texts() []ruleText {
	return []ruleText{
		{Stuck, Critical, "work has waited too long",
			"See whether the system answers and whether a process runs the queue; nothing is lost, the backlog drains by itself once it can.",
			[]Rule{Down, Auth}, 0},
		{Down, Critical, "system is down",
			"Check the system's status page and the network. Messages wait and are delivered in order after recovery; no action is needed here.", nil, 0},
		{DeadLetter, Warning, "messages were given up",
			"Read why, correct the record or the handler, then replay the dead letters of this cause.", []Rule{Down, Auth}, 0},
		{InDoubt, Warning, "outcome of a write is unknown",
			"Look the record up in the system, then answer whether the write happened. It is not repeated until then.", []Rule{Down}, 0},
		{Auth, Critical, "credentials are refused",
			"Renew the credentials or the permission that the system reports missing. Work waits until then.", nil, 0},
		{Silent, Critical, "source has gone silent",
			"Check that the webhook subscription or the poll still exists at the source, subscribe again, and backfill the gap.", []Rule{Down}, 0},
		{Drift, Warning, "systems disagree",
			"Look at the audit's differences. Repair them with the audit's repair, or correct the rule that let them arise.", nil, 0},
		{Contract, Warning, "system changed its interface",
			"Read the vendor's change notes and adapt the endpoint before the announced date.", nil, 25 * time.Hour}, // what a daily run meets goes on
		{Budget, Info, "quota is nearly used up",
			"Lower the rate, move bulk work to quiet hours, or ask the vendor for more.", nil, time.Hour},
		{TugOfWar, Warning, "field flips back and forth",
			"Find who changes the field in each system, and give it one owner or a resolver.", nil, time.Hour},
		{AlertPath, Critical, "alerts cannot be delivered",
			"Repair the sink that is named; what it missed is sent to it afterwards.", nil, 0},
		{Trespass, Warning, "system wrote a field it does not own",
			"Stop the writer in that system, or change the owner of the field with a planned transfer.", nil, time.Hour},
		{ParkedRecord, Warning, "records wait for a decision",
			"Decide the record by hand, or add a resolver for this case.", nil, 0},
		{Brake, Critical, "run stopped by its brake",
			"Check whether the listing is complete and from the right account. Approve the run only if the change is meant.", nil, 0},
	}
}

// Rules returns every rule of the library. The slice is the caller's.
func Rules() []Rule {
	all := texts()
	rules := make([]Rule, len(all))
	for i, t := range all {
		rules[i] = t.rule
	}
	return rules
}

// known reports whether r is a rule of the library.
func (r Rule) known() bool { return slices.Contains(Rules(), r) }

func (r Rule) text() ruleText {
	all := texts()
	if i := slices.IndexFunc(all, func(t ruleText) bool { return t.rule == r }); i >= 0 {
		return all[i]
	}
	return ruleText{rule: r, severity: Critical, title: "problem " + strconv.Quote(string(r)),
		hint: "Ask who wrote the rule " + strconv.Quote(string(r)) + "; the problem carried no hint."}
}

// Severity returns how serious a problem of the rule is unless it says otherwise.
func (r Rule) Severity() Severity { return r.text().severity }

// Title returns what a problem of the rule is called unless it says otherwise.
func (r Rule) Title() string { return r.text().title }

// Hint returns what to do about a problem of the rule unless it says otherwise.
func (r Rule) Hint() string { return r.text().hint }

// A Severity says how soon a person must look. The zero value means the rule's
// own severity in a Problem, and any severity in a Route.
type Severity uint8

// The severities.
const (
	// Info: worth knowing.
	Info Severity = iota + 1
	// Warning: look at it today.
	Warning
	// Critical: look at it now.
	Critical
)

// String returns the severity in lower case: "critical".
func (s Severity) String() string {
	switch s {
	case 0:
		return "unset"
	case Info:
		return "info"
	case Warning:
		return "warning"
	case Critical:
		return "critical"
	}
	return "severity(" + strconv.Itoa(int(s)) + ")"
}
