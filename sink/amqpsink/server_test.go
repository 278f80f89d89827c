package amqpsink_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail/internal/sinktest"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/sink/amqpsink"
)

const local = "amqp://guest:guest@127.0.0.1:5672/"

// server returns the URL of a RabbitMQ: DOVETAIL_AMQP_URL, the one on the standard
// port, or one of the test's own.
func server(t *testing.T) string {
	t.Helper()
	if url := os.Getenv("DOVETAIL_AMQP_URL"); url != "" {
		return url
	}
	if conn, err := amqp.Dial(local); err == nil {
		require.NoError(t, conn.Close())
		return local
	}
	return ownServer(t).url
}

// An own server may be killed and told that its disk is full.
type own struct {
	*sinktest.Process
	url  string
	sbin string
	env  []string
}

// ownServer starts a RabbitMQ that takes messages of up to 100,000 bytes and knows
// the users guest and few, who may publish nowhere.
func ownServer(t *testing.T) *own {
	t.Helper()
	s := &own{}
	// Debian's wrapper changes the user; what it wraps does not.
	if found, err := filepath.Glob("/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin"); err == nil && len(found) > 0 {
		s.sbin = found[0]
	} else if path, err := exec.LookPath("rabbitmq-server"); err == nil {
		s.sbin = filepath.Dir(path)
	} else {
		t.Skip("no rabbitmq-server: apt install rabbitmq-server; where the test kills no server, one named in DOVETAIL_AMQP_URL does too")
	}
	dir, port, epmd := t.TempDir(), sinktest.FreePort(t), strconv.Itoa(sinktest.FreePort(t))
	addr := "127.0.0.1:" + strconv.Itoa(port)
	s.url = "amqp://guest:guest@" + addr + "/"
	in := func(name string) string { return filepath.Join(dir, name) }
	everything := map[string]string{"user": "guest", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}
	nothing := map[string]string{"user": "few", "vhost": "/", "configure": "", "write": "^none$", "read": ""}
	definitions, err := json.Marshal(map[string]any{
		"vhosts": []any{map[string]string{"name": "/"}},
		"users": []any{
			map[string]string{"name": "guest", "password": "guest", "tags": "administrator"},
			map[string]string{"name": "few", "password": "few-secret", "tags": ""},
		},
		"permissions": []any{everything, nothing},
	})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(in("definitions.json"), definitions, 0o600))
	require.NoError(t, os.WriteFile(in("rabbitmq.conf"), fmt.Appendf(nil, "listeners.tcp.1 = %s\nload_definitions = %s\nmax_message_size = 100000\n", addr, in("definitions.json")), 0o600))
	s.env = append(os.Environ(),
		"HOME="+dir, "RABBITMQ_NODENAME=dovetail"+strconv.Itoa(port)+"@localhost", "RABBITMQ_CONFIG_FILE="+in("rabbitmq.conf"),
		"RABBITMQ_MNESIA_BASE="+in("data"), "RABBITMQ_LOG_BASE="+in("log"), "RABBITMQ_LOGS=-", "RABBITMQ_ENABLED_PLUGINS_FILE="+in("plugins"),
		"RABBITMQ_PID_FILE="+in("pid"), "RABBITMQ_DIST_PORT="+strconv.Itoa(sinktest.FreePort(t)), "ERL_EPMD_PORT="+epmd, "ERL_EPMD_ADDRESS=127.0.0.1",
	)
	// Erlang's name server, which every node starts and none ends.
	t.Cleanup(func() {
		cmd := exec.Command("epmd", "-kill")
		cmd.Env = s.env
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Logf("end epmd: %v: %s", err, out)
		}
	})
	s.Process = &sinktest.Process{
		Command: func() *exec.Cmd { return s.command("rabbitmq-server") },
		PID: func() (int, error) {
			text, err := os.ReadFile(in("pid"))
			if err != nil {
				return 0, err
			}
			return strconv.Atoi(strings.TrimSpace(string(text)))
		},
		Ready: func() error {
			conn, err := amqp.DialConfig(s.url, amqp.Config{Dial: amqp.DefaultDial(2 * time.Second)})
			if err != nil {
				return err
			}
			return conn.Close()
		},
	}
	s.Start(t)
	return s
}

func (s *own) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.sbin, name), args...)
	cmd.Env = s.env
	return cmd
}

// diskNeeds has the server block whoever publishes unless so much of the disk is
// free.
func (s *own) diskNeeds(t *testing.T, limit string) {
	t.Helper()
	out, err := s.command("rabbitmqctl", "set_disk_free_limit", limit).CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// A bundle is an exchange and a queue of the test's own.
type bundle struct {
	t     *testing.T
	url   string
	name  string // of the exchange, the queue and the routing key
	sink  *amqpsink.Sink
	drawn []sinktest.Received
}

// setup declares them at url, and a sink that publishes through via, or through
// url if that is empty.
func setup(t *testing.T, url, via string, arguments amqp.Table, change ...func(*amqpsink.Config)) *bundle {
	t.Helper()
	b := &bundle{t: t, url: url, name: "dovetail-" + rand.Text()}
	b.with(func(ch *amqp.Channel) {
		require.NoError(t, ch.ExchangeDeclare(b.name, amqp.ExchangeDirect, true, false, false, false, nil))
		_, err := ch.QueueDeclare(b.name, true, false, false, false, arguments)
		require.NoError(t, err)
		require.NoError(t, ch.QueueBind(b.name, b.name, b.name, false, nil))
	})
	t.Cleanup(func() {
		conn, err := amqp.DialConfig(url, amqp.Config{Dial: amqp.DefaultDial(2 * time.Second)})
		if err != nil {
			return // the test killed its broker
		}
		defer conn.Close()
		if ch, err := conn.Channel(); err == nil {
			_, _ = ch.QueueDelete(b.name, false, false, false)
			_ = ch.ExchangeDelete(b.name, false, false) // the test may have deleted it
		}
	})
	if via == "" {
		via = url
	}
	config := amqpsink.Config{URL: via, Exchange: b.name, Timeout: 2 * time.Second}
	for _, f := range change {
		f(&config)
	}
	b.sink = b.open(config)
	return b
}

func (b *bundle) open(c amqpsink.Config) *amqpsink.Sink {
	b.t.Helper()
	sink, err := amqpsink.New(c)
	require.NoError(b.t, err)
	b.t.Cleanup(func() { _ = sink.Close() }) // the broker may be gone
	return sink
}

func (b *bundle) with(f func(*amqp.Channel)) {
	b.t.Helper()
	conn, err := amqp.Dial(b.url)
	require.NoError(b.t, err)
	defer conn.Close()
	ch, err := conn.Channel()
	require.NoError(b.t, err)
	f(ch)
}

// received returns what has come out of the queue so far.
func (b *bundle) received() []sinktest.Received {
	b.t.Helper()
	b.with(func(ch *amqp.Channel) {
		for {
			d, ok, err := ch.Get(b.name, true)
			require.NoError(b.t, err)
			if !ok {
				return
			}
			r := sinktest.Received{ID: d.MessageId, Payload: string(d.Body), Headers: map[string]string{}}
			for name, value := range d.Headers {
				r.Headers[name], _ = value.(string)
			}
			r.Key = r.Headers[sinktest.KeyHeader]
			require.EqualValues(b.t, amqp.Persistent, d.DeliveryMode)
			b.drawn = append(b.drawn, r)
		}
	})
	return b.drawn
}

// delivery is a message as the queue hands it to the sink.
func (b *bundle) delivery(id string) outbox.Delivery {
	return outbox.Delivery{Message: outbox.Message{ID: id, To: "broker", Topic: b.name, Key: "k", Payload: []byte("payload " + id)}, Attempt: 1, Enqueued: time.Unix(1_700_000_000, 0)}
}

// handle delivers one message as the queue would.
func (b *bundle) handle(sink *amqpsink.Sink, d outbox.Delivery) error {
	ctx, cancel := context.WithTimeout(b.t.Context(), 20*time.Second)
	defer cancel()
	return sink.Handle(ctx, d)
}

// behind returns a proxy before a broker, and the URL through it.
func behind(t *testing.T, url string) (*sinktest.Proxy, string) {
	t.Helper()
	uri, err := amqp.ParseURI(url)
	require.NoError(t, err)
	proxy := sinktest.NewProxy(t, net.JoinHostPort(uri.Host, strconv.Itoa(uri.Port)))
	addr := strings.Split(proxy.Addr(), ":")
	uri.Host = addr[0]
	uri.Port, err = strconv.Atoi(addr[1])
	require.NoError(t, err)
	return proxy, uri.String()
}
