package outbox

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"maps"
	"strconv"
	"strings"
	"sync"

	"github.com/tectari/dovetail"
)

// reservedHeader begins the headers that are the queue's own.
const reservedHeader = "dovetail-"

// packedHeader marks a payload that is stored compressed, with its size before.
const packedHeader = reservedHeader + "gzip"

// gzipRatio is what gzip makes of the most compressible bytes, and a little more.
// A mark that claims more is a lie.
const gzipRatio = 1040

var packers = sync.Pool{New: func() any {
	w, _ := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed) // the level is known to it
	return w
}}

// checkHeaders returns why the names of headers cannot be stored.
func checkHeaders(headers map[string]string) error {
	for name := range headers {
		if len(name) >= len(reservedHeader) && strings.EqualFold(name[:len(reservedHeader)], reservedHeader) {
			return fmt.Errorf("%w: header %q: names that begin with %q are the queue's own", ErrInvalidMessage, name, reservedHeader)
		}
	}
	return nil
}

// pack compresses the payload if it is larger than above and becomes smaller. The
// headers are the queue's copy.
func (m *Message) pack(above int) error {
	if above <= 0 || len(m.Payload) <= above {
		return nil
	}
	var out bytes.Buffer
	out.Grow(len(m.Payload) / 2)
	w, _ := packers.Get().(*gzip.Writer)
	defer packers.Put(w)
	w.Reset(&out)
	if _, err := w.Write(m.Payload); err != nil {
		return fmt.Errorf("compress: %w", err)
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("compress: %w", err)
	}
	if out.Len() >= len(m.Payload) {
		return nil
	}
	if m.Headers == nil {
		m.Headers = make(map[string]string, 1)
	}
	m.Headers[packedHeader] = strconv.Itoa(len(m.Payload))
	m.Payload = out.Bytes()
	return nil
}

// packed reports whether the payload is stored compressed.
func (m *Message) packed() bool {
	_, ok := m.Headers[packedHeader]
	return ok
}

// unpack gives m its payload back and takes the mark away. It leaves m as it is
// when that fails: with an error of class Invalid, since no attempt can help. The
// mark bounds what is read, and the ratio what the mark may say.
func (m *Message) unpack() error {
	if !m.packed() {
		return nil
	}
	payload, err := inflate(m.Payload, m.Headers[packedHeader])
	if err != nil {
		return &dovetail.Error{Fault: dovetail.Invalid, Op: "decompress the payload", Code: "compressed", Err: err}
	}
	m.Payload = payload
	if m.Headers = maps.Clone(m.Headers); len(m.Headers) == 1 {
		m.Headers = nil
	}
	delete(m.Headers, packedHeader)
	return nil
}

// inflate returns what was compressed, if it has the size that the mark says.
func inflate(packed []byte, mark string) ([]byte, error) {
	size, err := strconv.Atoi(mark)
	if err != nil || size < 0 {
		return nil, fmt.Errorf("its size is given as %q", mark)
	}
	if size > gzipRatio*(len(packed)+1) {
		return nil, fmt.Errorf("%d bytes cannot become %d", len(packed), size)
	}
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	out := make([]byte, size)
	if _, err := io.ReadFull(r, out); err != nil {
		return nil, fmt.Errorf("it ends before %d bytes, or is damaged: %w", size, err)
	}
	// The end must be here; reading it checks the sum.
	switch _, err := io.ReadFull(r, make([]byte, 1)); {
	case err == nil:
		return nil, fmt.Errorf("it is larger than the %d bytes that were stored", size)
	case !errors.Is(err, io.EOF):
		return nil, fmt.Errorf("it is damaged: %w", err)
	}
	return out, nil
}
