package retry

import (
	"errors"
	"io"
	"math"
	"net/http"
	"sync"
	"sync/atomic"
)

// spool is how much is kept of a body that can be read only once.
const spool = 256 << 10

// held is a body that has no GetBody. The source stays open until the call is
// over, and each attempt reads it through a view of its own: from an io.ReaderAt
// directly, from any other source with what was read before kept up to spool.
type held struct {
	src  io.ReadCloser
	at   io.ReaderAt
	from int64

	mu   sync.Mutex // held while the source is read
	kept []byte
	lost bool  // more was read than kept
	end  error // of the source

	view *view // the newest; touched by the call only
	over atomic.Bool
	shut sync.Once
}

// hold returns nil for a request that has no body or brings its own GetBody.
func hold(req *http.Request) *held {
	if req.Body == nil || req.Body == http.NoBody || req.GetBody != nil {
		return nil
	}
	h := &held{src: req.Body}
	if at, ok := req.Body.(io.ReaderAt); ok {
		if s, ok := req.Body.(io.Seeker); ok {
			from, err := s.Seek(0, io.SeekCurrent) // where it stands; it is not moved
			if err == nil {
				h.at, h.from = at, from
			}
		}
	}
	return h
}

// again reports whether the body can be had once more. A source that is being
// read at this moment, by an attempt that has failed already, cannot.
func (h *held) again() bool {
	if h.at != nil {
		return true
	}
	if !h.mu.TryLock() {
		return false
	}
	defer h.mu.Unlock()
	return !h.lost
}

// open returns the body for the next attempt, false if it cannot be had again.
func (h *held) open() (io.ReadCloser, bool) {
	if !h.again() {
		return nil, false
	}
	if h.view != nil {
		h.view.gone.Store(true) // an older attempt may still be reading
	}
	h.view = &view{h: h}
	if h.at != nil {
		h.view.section = io.NewSectionReader(h.at, h.from, math.MaxInt64-h.from)
	}
	return h.view, true
}

// finish closes the source once no attempt reads it any more.
func (h *held) finish() {
	h.over.Store(true)
	if h.view == nil || h.view.gone.Load() {
		h.close()
	}
}

func (h *held) close() {
	h.shut.Do(func() { _ = h.src.Close() }) // it was only read
}

type view struct {
	h       *held
	section *io.SectionReader
	pos     int
	gone    atomic.Bool
}

var errClosedBody = errors.New("retry: read of a closed body")

// Read reads on where this attempt stands.
func (v *view) Read(p []byte) (int, error) {
	if v.gone.Load() {
		return 0, errClosedBody
	}
	if v.section != nil {
		return v.section.Read(p)
	}
	v.h.mu.Lock()
	defer v.h.mu.Unlock()
	if v.gone.Load() {
		return 0, errClosedBody
	}
	if v.pos < len(v.h.kept) {
		n := copy(p, v.h.kept[v.pos:])
		v.pos += n
		return n, nil
	}
	if v.h.end != nil {
		return 0, v.h.end
	}
	n, err := v.h.src.Read(p)
	v.h.end = err
	if !v.h.lost && len(v.h.kept)+n <= spool {
		v.h.kept = append(v.h.kept, p[:n]...)
		v.pos += n
	} else if n > 0 {
		v.h.lost, v.h.kept, v.pos = true, nil, 0
	}
	return n, err
}

// Close ends this attempt's reading; the source is closed with the call.
func (v *view) Close() error {
	if !v.gone.Swap(true) && v.h.over.Load() {
		v.h.close()
	}
	return nil
}
