package kafkasink

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/outbox"
)

// Options returns the settings of a client that a sink needs: acknowledgement by
// all in-sync replicas, and no wait for more records, which would only delay a key
// that has one message under way at a time.
//
//	client, err := kgo.NewClient(append(kafkasink.Options(), kgo.SeedBrokers("kafka:9092"))...)
func Options() []kgo.Opt {
	return []kgo.Opt{kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerLinger(0)}
}

// A Config sets up a Sink.
type Config struct {
	// Client produces the records. Make it with Options; New refuses one that
	// would lose records, repeat them or mix them up. Required.
	Client *kgo.Client
	// Topic returns the Kafka topic of a message. Defaults to the message's topic.
	Topic func(m outbox.Message) string
	// IDHeader is the name of the header that holds the message's ID. Defaults to
	// "message-id".
	IDHeader string
	// Timeout bounds the wait for an acknowledgement. Defaults to 10 seconds.
	Timeout time.Duration
}

// A Sink produces messages to Kafka. Make one with New; the zero value is not
// usable. It is safe for concurrent use.
type Sink struct {
	config Config
	flight flight
}

// New returns a sink, or dovetail.Faults with everything that is wrong with c. It
// does no I/O and starts nothing.
func New(c Config) (*Sink, error) {
	faults := dovetail.Faults{Package: "kafkasink"}
	if c.Client == nil {
		faults.Add("KAFKA001", "Config.Client", "required", "kgo.NewClient(append(kafkasink.Options(), kgo.SeedBrokers(…))…)")
	} else {
		clientFaults(&faults, c.Client)
	}
	if c.Timeout < 0 {
		faults.Add("KAFKA009", "Config.Timeout", "negative", "leave it zero for 10 seconds")
	}
	if err := faults.Err(); err != nil {
		return nil, err
	}
	if c.Topic == nil {
		c.Topic = func(m outbox.Message) string { return m.Topic }
	}
	if c.IDHeader == "" {
		c.IDHeader = "message-id"
	}
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	return &Sink{config: c, flight: flight{records: map[identity]*record{}}}, nil
}

// clientFaults adds what is wrong with the settings of a client.
func clientFaults(faults *dovetail.Faults, client *kgo.Client) {
	is := func(opt any) bool {
		on, ok := client.OptValue(opt).(bool)
		return ok && on
	}
	bad := func(code, text, fix string) { faults.Add(code, "Config.Client", text, fix) }
	if acks, ok := client.OptValue(kgo.RequiredAcks).(kgo.Acks); ok && acks != kgo.AllISRAcks() {
		bad("KAFKA002", "a record would count as delivered before all in-sync replicas have it", "kgo.RequiredAcks(kgo.AllISRAcks()), the client's default")
	}
	if is(kgo.DisableIdempotentWrite) || is(kgo.AllowIdempotentProduceCancellation) {
		bad("KAFKA003", "a repetition by the client could be stored twice or out of order", "leave out kgo.DisableIdempotentWrite and kgo.AllowIdempotentProduceCancellation")
	}
	if id, ok := client.OptValue(kgo.TransactionalID).(string); ok && id != "" {
		bad("KAFKA004", "it produces in transactions only", "a client without kgo.TransactionalID")
	}
	if is(kgo.ManualFlushing) {
		bad("KAFKA005", "it sends nothing unless told to", "leave out kgo.ManualFlushing")
	}
	if is(kgo.DefaultProduceTopicAlways) {
		bad("KAFKA006", "it ignores the topic of a record", "leave out kgo.DefaultProduceTopicAlways")
	}
	if p, ok := client.OptValue(kgo.RecordPartitioner).(kgo.Partitioner); ok && !p.ForTopic("topic").RequiresConsistency(&kgo.Record{Topic: "topic", Key: []byte("key")}) {
		bad("KAFKA007", "its partitioner does not keep a key in one partition, so the key would lose its order", "kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), the client's default")
	}
}

// Handle produces a message and waits until all in-sync replicas have it. What its
// errors mean is said in the package comment.
func (s *Sink) Handle(ctx context.Context, d outbox.Delivery) error {
	out, err := s.record(d.Message)
	if err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	who := identity{topic: out.Topic, key: d.Key, id: d.ID}
	for {
		r, mine := s.flight.join(who)
		if mine {
			// Once wait has ended the client drops a record that it never sent. One
			// that it did send it repeats until it knows the outcome.
			s.config.Client.Produce(wait, out, func(_ *kgo.Record, err error) { r.settle(err) })
		}
		select {
		case <-r.done:
			s.flight.forget(who, r)
			if !mine && dropped(r.err) {
				continue // an earlier attempt's record that was never sent
			}
			return s.failure("message "+d.ID+" to topic "+out.Topic, r.err)
		case <-wait.Done():
			return s.late(ctx, d.ID, out.Topic)
		}
	}
}

// late returns the error of a record whose acknowledgement did not come. The
// client tries again and again and does not say why, so a broker is asked.
func (s *Sink) late(ctx context.Context, id, topic string) error {
	ctx, cancel := context.WithTimeout(ctx, min(time.Second, s.config.Timeout))
	defer cancel()
	err := s.config.Client.Ping(ctx)
	if ours := s.failure("ask for a broker", err); dovetail.Classify(ours) == dovetail.Auth {
		return ours
	}
	if err == nil {
		err = errors.New("a broker answers, but not the leader of the partition, or with too few replicas")
	}
	return s.fail(dovetail.Unavailable, "timeout", "message %s to topic %s: no acknowledgement in time; it may have arrived, and if so the next attempt learns of it: %w", id, topic, err)
}

// Check asks a broker whether it is there and takes the client's credentials. Call
// it before the queue runs.
func (s *Sink) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	if err := s.config.Client.Ping(ctx); err != nil {
		return s.failure("ask for a broker", err)
	}
	return nil
}

// topicName is what Kafka takes for the name of a topic.
var topicName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

// record returns m as Kafka carries it, or why it cannot.
func (s *Sink) record(m outbox.Message) (*kgo.Record, error) {
	topic := s.config.Topic(m)
	if !topicName.MatchString(topic) || topic == "." || topic == ".." {
		return nil, s.fail(dovetail.Invalid, "topic", "message %s: %q is not a topic; want 1 to 249 letters, digits and ._- from Config.Topic or Message.Topic", m.ID, topic)
	}
	r := &kgo.Record{Topic: topic, Value: m.Payload, Headers: make([]kgo.RecordHeader, 0, len(m.Headers)+1)}
	if m.Key != "" {
		r.Key = []byte(m.Key) // without a key, any partition will do
	}
	r.Headers = append(r.Headers, kgo.RecordHeader{Key: s.config.IDHeader, Value: []byte(m.ID)})
	for _, name := range slices.Sorted(maps.Keys(m.Headers)) {
		if name == s.config.IDHeader {
			return nil, s.fail(dovetail.Invalid, "header", "message %s: header %q holds the message's ID; name it otherwise, or set Config.IDHeader", m.ID, name)
		}
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: name, Value: []byte(m.Headers[name])})
	}
	return r, nil
}

// dropped reports whether a record failed since nobody waited for it any more.
func dropped(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// fail returns an error of the sink.
func (s *Sink) fail(class dovetail.Class, code, format string, args ...any) error {
	return &dovetail.Error{Fault: class, Op: "produce to Kafka", Code: code, Err: fmt.Errorf(format, args...)}
}

var _ outbox.Handler = (*Sink)(nil)
