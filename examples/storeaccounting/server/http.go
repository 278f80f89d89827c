package server

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

const maxBody = 64 << 10

// Problem is an error answer, application/problem+json.
type Problem struct {
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
	Field  string `json:"field,omitempty"`
}

func (p Problem) Error() string { return fmt.Sprintf("%d %s: %s", p.Status, p.Code, p.Detail) }

// NotFound is the problem of a record that does not exist.
func NotFound() Problem {
	return Problem{Status: http.StatusNotFound, Code: "not_found", Detail: "no such record"}
}

// Invalid is the problem of a field that cannot be taken.
func Invalid(field, detail string) Problem {
	return Problem{Status: http.StatusUnprocessableEntity, Code: "invalid", Detail: detail, Field: field}
}

// BadRequest is the problem of a call that cannot be understood.
func BadRequest(detail string) Problem {
	return Problem{Status: http.StatusBadRequest, Code: "bad_request", Detail: detail}
}

// WriteJSON answers with v.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	writeBody(w, status, "application/json", v)
}

// WriteProblem answers with p.
func WriteProblem(w http.ResponseWriter, p Problem) {
	writeBody(w, p.Status, "application/problem+json", p)
}

// WriteError answers with the problem that err is, or with a 500.
func WriteError(w http.ResponseWriter, err error) {
	p, ok := errors.AsType[Problem](err)
	if !ok {
		p = Problem{Status: http.StatusInternalServerError, Code: "internal", Detail: "something broke here"}
	}
	WriteProblem(w, p)
}

func writeBody(w http.ResponseWriter, status int, contentType string, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body) // a caller that went away is no trouble of ours
}

// ETag writes a version the way HTTP wants it.
func ETag(w http.ResponseWriter, version int64) {
	w.Header().Set("ETag", strconv.Quote(strconv.FormatInt(version, 10)))
}

// Matches says whether the request's If-Match, if it has one, names version.
func Matches(r *http.Request, version int64) bool {
	want := r.Header.Get("If-Match")
	return want == "" || want == "*" || strings.Trim(want, `"`) == strconv.FormatInt(version, 10)
}

// Moved is the problem of an If-Match that no longer holds.
func Moved() Problem {
	return Problem{Status: http.StatusPreconditionFailed, Code: "version_moved", Detail: "the record has another version by now"}
}

// ReadBody reads the whole body, up to a limit.
func ReadBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return nil, BadRequest("cannot read the body, or it is too big")
	}
	return body, nil
}

// ParseFields reads a JSON object whose values are strings or null (which
// empties), and whose names are all in allowed.
func ParseFields(body []byte, allowed ...string) (map[string]string, error) {
	var given map[string]*string
	if err := json.Unmarshal(body, &given); err != nil || given == nil {
		return nil, BadRequest("the body is not a JSON object of strings")
	}
	fields := make(map[string]string, len(given))
	for name, value := range given {
		if !contains(allowed, name) {
			return nil, Invalid(name, "no such field, or not writable")
		}
		if value == nil {
			value = new(string)
		}
		fields[name] = *value
	}
	return fields, nil
}

func contains(list []string, s string) bool {
	return slices.Contains(list, s)
}

// PageOf reads limit and the cursor in the parameter of the given name.
func PageOf(r *http.Request, cursor string) (after string, limit int, err error) {
	query := r.URL.Query()
	limit = 100
	if s := query.Get("limit"); s != "" {
		limit, err = strconv.Atoi(s)
		if err != nil || limit < 1 {
			return "", 0, BadRequest("limit is not a positive number")
		}
		limit = min(limit, 500)
	}
	raw, err := base64.RawURLEncoding.DecodeString(query.Get(cursor))
	if err != nil {
		return "", 0, BadRequest(cursor + " is not a cursor of ours")
	}
	return string(raw), limit, nil
}

// SinceOf reads limit and the change feed's since.
func SinceOf(r *http.Request) (since int64, limit int, err error) {
	after, limit, err := PageOf(r, "since")
	if err != nil || after == "" {
		return 0, limit, err
	}
	since, err = strconv.ParseInt(after, 10, 64)
	if err != nil {
		return 0, 0, BadRequest("since is not a cursor of ours")
	}
	return since, limit, nil
}

// Cursor makes an opaque cursor.
func Cursor(after string) string { return base64.RawURLEncoding.EncodeToString([]byte(after)) }
