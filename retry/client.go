package retry

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
)

// NewClient returns an http.Client for one API. It follows redirects within the
// origin of the request only; any other redirect is returned as it came. The
// client is safe for concurrent use. It returns every fault of cfg at once.
func NewClient(cfg Config) (*http.Client, error) {
	t, err := NewTransport(cfg)
	if err != nil {
		return nil, err
	}
	return &http.Client{Transport: t, CheckRedirect: sameOrigin}, nil
}

// maxRedirects is net/http's own limit.
const maxRedirects = 10

func sameOrigin(req *http.Request, via []*http.Request) error {
	if len(via) >= maxRedirects || origin(req.URL) != origin(via[0].URL) {
		return http.ErrUseLastResponse
	}
	return nil
}

// origin returns scheme, host and port of u.
func origin(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[strings.ToLower(u.Scheme)]
	}
	return strings.ToLower(u.Scheme) + "://" + strings.ToLower(u.Hostname()) + ":" + port
}

// errOrigin is why a Transport under somebody else's client does not follow.
var errOrigin = errors.New("redirected to another origin, which is not followed: the headers and the body are meant for this API only")

// strays reports whether req is a redirect that an http.Client follows to another
// origin. Such a client copies headers and bodies to it.
func strays(req *http.Request) bool {
	for r := req.Response; r != nil && r.Request != nil; r = r.Request.Response {
		if origin(r.Request.URL) != origin(req.URL) {
			return true
		}
	}
	return false
}

type repeatKey struct{}

// SafeToRepeat returns a context that says of the requests made with it that
// sending them twice does no harm: a POST that only searches, a PATCH that sets
// absolute values. They are then repeated like a PUT.
func SafeToRepeat(ctx context.Context) context.Context {
	return context.WithValue(ctx, repeatKey{}, true)
}

// facts are what the decision table asks of a request.
type facts struct {
	safe   bool // reads
	native bool // may be repeated by its method, or because the caller says so
	keyed  bool // carries the key that the API honours
}

func (f facts) repeatable() bool { return f.safe || f.native || f.keyed }

func (t *Transport) facts(req *http.Request) facts {
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return facts{safe: true}
	case http.MethodPut, http.MethodDelete:
		return facts{native: true}
	}
	f := facts{keyed: t.cfg.IdempotencyHeader != "" && req.Header.Get(t.cfg.IdempotencyHeader) != ""}
	if tag := req.Header.Get("If-Match"); tag != "" && strings.TrimSpace(tag) != "*" {
		f.native = true
	} else if said, ok := req.Context().Value(repeatKey{}).(bool); ok {
		f.native = said
	}
	return f
}
