package kafkasink

import (
	"context"
	"errors"
	"io"
	"net"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tectari/dovetail"
)

// A meaning is what an error of Kafka means to the queue, and what to do.
type meaning struct {
	class  dovetail.Class
	advice string
}

// meanings are those that are not Unavailable, Transient or Permanent by being
// retriable or not.
var meanings = map[int16]meaning{
	kerr.MessageTooLarge.Code:              {dovetail.Invalid, "; larger than the client (ProducerBatchMaxBytes), the topic (max.message.bytes) or the broker takes"},
	kerr.RecordListTooLarge.Code:           {dovetail.Invalid, "; larger than a segment of the topic"},
	kerr.InvalidRecord.Code:                {dovetail.Invalid, "; the topic may be compacted, which needs Message.Key"},
	kerr.InvalidTimestamp.Code:             {dovetail.Invalid, ""},
	kerr.InvalidTopicException.Code:        {dovetail.Permanent, "; correct Config.Topic"},
	kerr.UnknownTopicOrPartition.Code:      {dovetail.Permanent, "; create the topic, or correct Config.Topic"},
	kerr.UnknownTopicID.Code:               {dovetail.Permanent, "; create the topic, or correct Config.Topic"},
	kerr.TopicAuthorizationFailed.Code:     {dovetail.Auth, "; allow the client's user to write to the topic"},
	kerr.ClusterAuthorizationFailed.Code:   {dovetail.Auth, "; allow the client's user to write idempotently"},
	kerr.SaslAuthenticationFailed.Code:     {dovetail.Auth, "; the broker refuses the client's credentials"},
	kerr.UnsupportedSaslMechanism.Code:     {dovetail.Auth, "; give the client a SASL mechanism that the broker knows"},
	kerr.IllegalSaslState.Code:             {dovetail.Auth, ""},
	kerr.SecurityDisabled.Code:             {dovetail.Auth, ""},
	kerr.ThrottlingQuotaExceeded.Code:      {dovetail.RateLimited, ""},
	kerr.PolicyViolation.Code:              {dovetail.Permanent, ""},
	kerr.UnknownServerError.Code:           {dovetail.Transient, ""},
	kerr.CorruptMessage.Code:               {dovetail.Transient, ""},
	kerr.OutOfOrderSequenceNumber.Code:     {dovetail.Transient, ""},
	kerr.DuplicateSequenceNumber.Code:      {dovetail.Transient, ""},
	kerr.UnknownProducerID.Code:            {dovetail.Transient, ""},
	kerr.InvalidProducerEpoch.Code:         {dovetail.Transient, ""},
	kerr.InvalidProducerIDMapping.Code:     {dovetail.Transient, ""},
	kerr.NotEnoughReplicasAfterAppend.Code: {dovetail.Unavailable, "; fewer replicas in sync than min.insync.replicas"},
	kerr.NotEnoughReplicas.Code:            {dovetail.Unavailable, "; fewer replicas in sync than min.insync.replicas"},
	kerr.KafkaStorageError.Code:            {dovetail.Unavailable, ""},
}

// failure says what the outcome of a record, or of a question, means. What is
// what was tried: "message 7 to topic orders".
func (s *Sink) failure(what string, err error) error {
	if err == nil {
		return nil
	}
	if kafka, ok := errors.AsType[*kerr.Error](err); ok {
		m, known := meanings[kafka.Code]
		if !known {
			if m.class = dovetail.Permanent; kafka.Retriable {
				m.class = dovetail.Unavailable
			}
		}
		return s.fail(m.class, kafka.Message, "%s: %w%s", what, err, m.advice)
	}
	if away(err) {
		return s.fail(dovetail.Unavailable, "connection", "%s: %w", what, err)
	}
	return s.fail(dovetail.Transient, "client", "%s: %w", what, err)
}

// away reports whether err says that no broker was reached, or none in time.
func away(err error) bool {
	for _, sign := range []error{
		context.Canceled, context.DeadlineExceeded, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed,
		kgo.ErrRecordTimeout, kgo.ErrRecordRetries, kgo.ErrMaxBuffered, kgo.ErrAborting, kgo.ErrClientClosed,
	} {
		if errors.Is(err, sign) {
			return true
		}
	}
	if _, ok := errors.AsType[*kgo.ErrFirstReadEOF](err); ok {
		return true
	}
	_, ok := errors.AsType[net.Error](err)
	return ok
}
