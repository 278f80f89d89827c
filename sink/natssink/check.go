package natssink

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/tectari/dovetail"
)

// Check asks the server whether the stream is such that the promises of this
// package hold. It returns dovetail.Faults with everything that is wrong with the
// stream, or a dovetail.Error when the server cannot be asked. Call it before the
// queue runs.
func (s *Sink) Check(ctx context.Context) error {
	if err := s.connected(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	faults := dovetail.Faults{Package: "natssink"}
	where := "stream " + s.config.Stream
	stream, err := s.config.JetStream.Stream(ctx, s.config.Stream)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		faults.Add("NATS010", where, "does not exist", "create it with the subjects of the messages")
		return faults.Err()
	case err != nil:
		return s.fail(dovetail.Unavailable, "check", "ask JetStream: %w", err)
	}
	c := stream.CachedInfo().Config
	if c.Duplicates < s.config.Window {
		faults.Add("NATS011", where, fmt.Sprintf("forgets a message's ID after %s, and Config.Window is %s: what is published again later would be stored twice", c.Duplicates, s.config.Window),
			"raise the stream's duplicate window (--dupe-window), or lower Config.Window")
	}
	if c.NoAck {
		faults.Add("NATS012", where, "acknowledges nothing, so no message would ever count as delivered", "create it without NoAck")
	}
	if c.Sealed {
		faults.Add("NATS013", where, "is sealed and takes no message", "name another stream in Config.Stream")
	}
	if c.Mirror != nil {
		faults.Add("NATS014", where, "is a mirror of another stream and takes no message", "name the stream that it mirrors in Config.Stream")
	}
	return faults.Err()
}
