package retry

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

const redacted = "REDACTED"

// scrubbed is a cause whose text holds nothing of the request's secrets. It can
// be matched like the cause itself; it does not hand the cause out.
type scrubbed struct {
	text  string
	cause error
}

func (s *scrubbed) Error() string { return s.text }

// Is matches what the cause matches.
func (s *scrubbed) Is(target error) bool { return errors.Is(s.cause, target) }

// As finds what the cause holds, but for a *url.Error, which has the whole URL.
func (s *scrubbed) As(target any) bool {
	if _, ok := target.(**url.Error); ok {
		return false
	}
	return errors.As(s.cause, target)
}

// scrub returns err with every secret of req taken out of its text.
func scrub(err error, req *http.Request) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	for _, e := range urlErrors(err) {
		if u, perr := url.Parse(e.URL); perr == nil {
			text = strings.ReplaceAll(text, e.URL, plain(u))
		} else {
			text = strings.ReplaceAll(text, e.URL, redacted)
		}
	}
	for _, s := range secrets(req) {
		text = strings.ReplaceAll(text, s, redacted)
	}
	return &scrubbed{text: text, cause: err}
}

// urlErrors returns the errors of net/http and net/url in the chain of err.
func urlErrors(err error) []*url.Error {
	var all []*url.Error
	for u, ok := errors.AsType[*url.Error](err); ok; u, ok = errors.AsType[*url.Error](u.Err) {
		all = append(all, u)
	}
	return all
}

// public are the headers whose values may be read by anyone.
var public = []string{"Accept", "Accept-Encoding", "Content-Length", "Content-Type", "User-Agent"}

// secrets returns what of a request must not be shown, longest first.
func secrets(req *http.Request) []string {
	var all []string
	add := func(s string) {
		if len(s) >= 4 {
			all = append(all, s)
		}
	}
	if u := req.URL; u != nil {
		if u.User != nil {
			password, _ := u.User.Password()
			add(password)
			add(u.User.Username())
			add(u.User.String())
		}
		add(u.RawQuery)
		for _, values := range u.Query() {
			for _, v := range values {
				add(v)
				add(url.QueryEscape(v))
			}
		}
	}
	for name, values := range req.Header {
		if slices.Contains(public, name) {
			continue
		}
		for _, v := range values {
			add(v)
			if _, token, ok := strings.Cut(v, " "); ok {
				add(token)
			}
		}
	}
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) })
	return all
}
