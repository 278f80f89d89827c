package natssink

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/tectari/dovetail"
)

// fail returns an error of the sink.
func (s *Sink) fail(class dovetail.Class, code, format string, args ...any) error {
	return &dovetail.Error{Fault: class, Op: "publish to stream " + s.config.Stream, Code: code, Err: fmt.Errorf(format, args...)}
}

// connected returns why nothing can be published now.
func (s *Sink) connected() error {
	conn := s.config.JetStream.Conn()
	switch status := conn.Status(); status {
	case nats.CONNECTED:
		return nil
	case nats.CLOSED:
		if err := conn.LastError(); errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) {
			return s.fail(dovetail.Auth, "auth", "the server refused the credentials and the connection is closed; start again with others: %w", err)
		}
		return s.fail(dovetail.Unavailable, "closed", "the connection was closed and will not come back; close it after the queue has ended")
	default:
		if err := conn.LastError(); errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) {
			return s.fail(dovetail.Auth, "auth", "the server refuses the credentials: %w", err)
		}
		return s.fail(dovetail.Unavailable, "connection", "not connected (%s)", strings.ToLower(status.String()))
	}
}

// Codes of the server's answers, as its errors.json lists them. The client names
// few of them.
const (
	codeMemoryExceeded  = 10028
	codeStorageExceeded = 10047
	codeNotLeader       = 10009
	codeNotMatch        = 10060
	codeWrongLastID     = 10070
	codeWrongLast       = 10071
	codeStoreFailed     = 10077
	codeWrongLastConst  = 10164
	codeTooMany         = 10167
)

// failure says what an error of a publication means.
func (s *Sink) failure(ctx context.Context, subject string, err error) error {
	if ours, ok := errors.AsType[*dovetail.Error](err); ok {
		return ours
	}
	if api, ok := errors.AsType[*jetstream.APIError](err); ok {
		return s.refused(ctx, subject, api)
	}
	conn := s.config.JetStream.Conn()
	switch {
	case errors.Is(err, nats.ErrMaxPayload):
		return s.fail(dovetail.Invalid, "max-payload", "subject %s: larger than the %d bytes the server takes (max_payload)", subject, conn.MaxPayload())
	case errors.Is(err, nats.ErrBadSubject), errors.Is(err, nats.ErrBadHeaderMsg):
		return s.fail(dovetail.Invalid, "message", "subject %s: %w", subject, err)
	case errors.Is(err, jetstream.ErrNoStreamResponse):
		return s.noStream(ctx, subject)
	case errors.Is(err, jetstream.ErrInvalidJSAck):
		return s.fail(dovetail.Permanent, "not-a-stream", "subject %s: somebody who is no stream answers on it; give the stream a subject of its own", subject)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		// A refused subject is told apart from the publication, so what is waited
		// for never comes. Whether it pauses as Auth or as Unavailable, the text
		// decides the wording of the alert only.
		if last := conn.LastError(); errors.Is(last, nats.ErrPermissionViolation) && strings.Contains(last.Error(), strconv.Quote(subject)) {
			return s.fail(dovetail.Auth, "permission", "subject %s: the connection's user may not publish to it: %w", subject, last)
		}
		return s.fail(dovetail.Unavailable, "timeout", "subject %s: no acknowledgement in time; it may have been stored, and the stream knows the repetition by its ID: %w", subject, err)
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return s.fail(dovetail.Transient, "interrupted", "subject %s: %w", subject, err)
	case errors.Is(err, context.Canceled):
		return s.fail(dovetail.Unavailable, "connection", "subject %s: the connection ended before the acknowledgement; the message may have been stored, and the stream knows the repetition by its ID", subject)
	default:
		return s.fail(dovetail.Unavailable, "connection", "subject %s: %w", subject, err)
	}
}

// refused says what an answer of JetStream means.
func (s *Sink) refused(ctx context.Context, subject string, api *jetstream.APIError) error {
	class, advice := dovetail.Transient, ""
	switch code := int(api.ErrorCode); {
	case code == int(jetstream.JSErrCodeStreamMessageExceedsMaximum):
		class, advice = dovetail.Invalid, "; the stream's max_msg_size is smaller"
	case code == codeNotMatch:
		class, advice = dovetail.Permanent, "; another stream takes the subject: correct Config.Stream or Config.Subject"
	case code == codeWrongLastID || code == codeWrongLast || code == codeWrongLastConst:
		class = dovetail.Conflict
	case code == codeStoreFailed && s.fullPerSubject(ctx):
		advice = "; the stream limits the messages of a subject and refuses new ones"
	case code == codeTooMany, code == codeMemoryExceeded, code == codeStorageExceeded, code == codeNotLeader, api.Code == 503:
		class = dovetail.Unavailable
	case api.Code == 400 || api.Code == 403 || api.Code == 404:
		class = dovetail.Permanent
	}
	return s.fail(class, strconv.Itoa(int(api.ErrorCode)), "subject %s: %w%s", subject, api, advice)
}

// fullPerSubject reports whether a full stream may still have room for other
// subjects, so that only the message at hand has to wait.
func (s *Sink) fullPerSubject(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	stream, err := s.config.JetStream.Stream(ctx, s.config.Stream)
	return err == nil && stream.CachedInfo().Config.DiscardNewPerSubject
}

// noStream says why nobody answered: no stream takes the subject, or the one that
// does cannot answer now.
func (s *Sink) noStream(ctx context.Context, subject string) error {
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	taker, err := s.config.JetStream.StreamNameBySubject(ctx, subject)
	switch {
	case err == nil:
		return s.fail(dovetail.Unavailable, "no-responders", "subject %s: stream %s does not answer; it may have no leader", subject, taker)
	case !errors.Is(err, jetstream.ErrStreamNotFound):
		return s.fail(dovetail.Unavailable, "no-responders", "subject %s: JetStream does not answer: %w", subject, err)
	}
	_, err = s.config.JetStream.Stream(ctx, s.config.Stream)
	switch {
	case err == nil:
		return s.fail(dovetail.Permanent, "wrong-subject", "subject %s: no stream takes it; add it to the subjects of stream %s, or correct Config.Subject", subject, s.config.Stream)
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return s.fail(dovetail.Permanent, "no-stream", "subject %s: stream %s does not exist; create it with this subject", subject, s.config.Stream)
	default:
		return s.fail(dovetail.Unavailable, "no-responders", "subject %s: JetStream does not answer: %w", subject, err)
	}
}
