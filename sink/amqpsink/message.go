package amqpsink

import (
	"strings"
	"unicode/utf8"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/outbox"
)

// maxShort bounds a short string of AMQP: a name, a routing key, an ID.
const maxShort = 255

// A publishing is a message as AMQP carries it.
type publishing struct {
	amqp.Publishing
	key  string
	size int // of what must fit into one frame
}

// publishing returns d as AMQP carries it, or why it cannot.
func (s *Sink) publishing(d outbox.Delivery) (publishing, error) {
	p := publishing{key: s.config.RoutingKey(d.Message), Publishing: amqp.Publishing{
		MessageId: d.ID, Type: d.Topic, Timestamp: d.Enqueued, DeliveryMode: amqp.Persistent,
		ContentType: s.config.ContentType, Headers: make(amqp.Table, len(d.Headers)), Body: d.Payload,
	}}
	for _, short := range [...]struct{ name, text string }{
		{"its ID", d.ID}, {"its topic", d.Topic}, {"its routing key", p.key},
	} {
		if len(short.text) > maxShort || !utf8.ValidString(short.text) {
			return p, s.fail(dovetail.Invalid, "message", "message %.300q: %s is too long; AMQP carries %d bytes of UTF-8", d.ID, short.name, maxShort)
		}
		p.size += len(short.text)
	}
	for name, value := range d.Headers {
		if name == "" || len(name) > maxShort || !utf8.ValidString(name) {
			return p, s.fail(dovetail.Invalid, "header", "message %s: AMQP cannot carry header %.300q; a name has 1 to %d bytes", d.ID, name, maxShort)
		}
		if strings.EqualFold(name, "CC") || strings.EqualFold(name, "BCC") {
			return p, s.fail(dovetail.Invalid, "header", "message %s: RabbitMQ would route by header %q; name it otherwise", d.ID, name)
		}
		p.Headers[name] = value
		p.size += len(name) + len(value) + 6 // their lengths and the type
	}
	p.size += len(p.ContentType) + 64 // the other properties
	return p, nil
}
