package alert

import (
	"context"
	"log/slog"
)

// A Sink brings notifications to a person: a pager, a chat, a mailbox.
// Implementations must be safe for concurrent use.
type Sink interface {
	// Name returns the sink's name, unique in a Config. It is stored, so it must
	// not change between runs.
	Name() string
	// Send hands one notification on and returns nil once it was accepted. It
	// must honour ctx, which has a deadline. An error makes the manager send the
	// notification again later. Its text is logged, so it must not contain a
	// secret. The same notification may be sent twice, with the same ID.
	Send(ctx context.Context, n Notification) error
}

// SinkFunc returns a sink with a name that calls send.
func SinkFunc(name string, send func(ctx context.Context, n Notification) error) Sink {
	return &sinkFunc{name: name, send: send}
}

// sinkFunc is used by pointer, so that one sink in two routes is one sink.
type sinkFunc struct {
	name string
	send func(ctx context.Context, n Notification) error
}

func (s *sinkFunc) Name() string { return s.name }

func (s *sinkFunc) Send(ctx context.Context, n Notification) error { return s.send(ctx, n) }

// A Recorder is a sink that keeps notifications where nobody is woken by them.
// New does not count such a sink as a person.
type Recorder interface {
	Sink
	// Records marks the sink. It does nothing.
	Records()
}

// Log returns a sink named "log" that writes to logger, or to slog.Default when
// logger is nil. It is a Recorder: a route that ends only in a log reaches
// nobody.
func Log(logger *slog.Logger) Sink { return logSink{logger: logger} }

type logSink struct{ logger *slog.Logger }

var _ Recorder = logSink{}

func (logSink) Name() string { return "log" }

func (logSink) Records() {}

func (s logSink) Send(ctx context.Context, n Notification) error {
	logger := s.logger
	if logger == nil {
		logger = slog.Default()
	}
	level := slog.LevelInfo
	if n.State != Resolved && n.State != Trial {
		switch n.Problem.Severity {
		case Warning:
			level = slog.LevelWarn
		case Critical:
			level = slog.LevelError
		}
	}
	attrs := []slog.Attr{slog.String("state", string(n.State)), slog.String("rule", string(n.Problem.Rule)), slog.String("fingerprint", n.Fingerprint)}
	for _, a := range []slog.Attr{
		slog.String("link", n.Problem.Link), slog.String("system", string(n.Problem.System)),
		slog.String("destination", n.Problem.Destination), slog.String("operation", n.Problem.Operation),
		slog.String("code", n.Problem.Code), slog.String("field", n.Problem.Field),
		slog.String("sample", n.Problem.Sample), slog.String("why", n.Problem.Why), slog.String("hint", n.Problem.Hint),
	} {
		if a.Value.String() != "" {
			attrs = append(attrs, a)
		}
	}
	attrs = append(attrs, slog.Int64("count", n.Count), slog.Int64("waiting", n.Problem.Waiting), slog.Duration("lasted", n.Lasted()))
	logger.LogAttrs(ctx, level, n.Summary(), attrs...)
	return nil
}
