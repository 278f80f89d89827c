// Package alert tells a person what failed, why, since when, and what to do.
//
// Parts of the library report a [Problem]: failures with one cause. A [Manager]
// groups them by fingerprint, waits a moment, and sends one [Notification] to
// every [Sink] that a [Route] names; it repeats what stays open, escalates what
// nobody takes, and says with numbers when it is over.
//
// # Guarantees
//
//   - A configuration in which a critical problem would reach no person does not
//     start. A log is not a person.
//   - However often a problem is reported, each sink is told once when it begins
//     and once when it ends. Repeats and escalations are extra, and bounded by
//     their intervals.
//   - What follows from a problem that is already told is not told as well: while
//     a system is down, neither its queue being stuck nor the next failing poll.
//     What outlives its cause is told then; a second report of the same outage
//     only if it was repeated since.
//   - Once a system answers, nobody is told any more that it is down. The end of
//     the problem is told when what had gathered is worked off.
//   - A problem that is events, a trespass for example, ends when none has come for
//     a while.
//   - A sink that fails or hangs delays no other sink and no caller of Report. It
//     is told late, not never, and the failure is itself a problem that goes to
//     the other sinks and to slog.
//   - With a Store, several processes tell a person once, and a process that
//     dies between the beginning and the end does not leave it open.
//   - A problem that comes and goes is one problem, damped longer each time.
//   - Memory does not grow with the number of reports. At most MaxOpen problems
//     are held apart; further ones are told as one overflow problem per rule.
//   - A notification carries what the reporter put in its Problem, cut to length
//     and cleared of control characters. No secret of a sink appears in it, nor
//     in an error.
//
// Not promised: a process that dies after a sink took a notification and before
// that was stored sends it again, with the same ID. Without a Store what is open
// is forgotten when the process ends.
package alert
