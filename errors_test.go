package dovetail_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail"
)

func TestClassNamesReadBack(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for c := dovetail.Unclassified; c <= dovetail.Permanent; c++ {
		back, ok := dovetail.ParseClass(c.String())
		require.True(t, ok)
		require.Equal(t, c, back)
		require.False(t, seen[c.String()])
		seen[c.String()] = true
	}
	require.Equal(t, "class(99)", dovetail.Class(99).String())
	for _, s := range []string{"", "Invalid", "class(99)", "rate limited"} {
		_, ok := dovetail.ParseClass(s)
		require.False(t, ok, s)
	}
}

func TestOnlyThreeClassesAreRetriedByThemselves(t *testing.T) {
	t.Parallel()
	retryable := map[dovetail.Class]bool{dovetail.RateLimited: true, dovetail.Unavailable: true, dovetail.Transient: true}
	for c := dovetail.Unclassified; c <= dovetail.Permanent+1; c++ {
		require.Equal(t, retryable[c], c.Retryable(), c)
	}
}

// saysClass is an error of somebody else that says its class.
type saysClass dovetail.Class

func (saysClass) Error() string           { return "theirs" }
func (c saysClass) Class() dovetail.Class { return dovetail.Class(c) }

func TestClassify(t *testing.T) {
	t.Parallel()
	known := dovetail.NewError(dovetail.Invalid, "create", "no name")
	var null *dovetail.Error
	for name, tc := range map[string]struct {
		err  error
		want dovetail.Class
	}{
		"nil":                    {nil, dovetail.Unclassified},
		"nobody said":            {io.EOF, dovetail.Unclassified},
		"ours":                   {known, dovetail.Invalid},
		"wrapped":                {fmt.Errorf("push: %w", known), dovetail.Invalid},
		"somebody else's":        {fmt.Errorf("push: %w", saysClass(dovetail.Auth)), dovetail.Auth},
		"the first that knows":   {&dovetail.Error{Fault: dovetail.InDoubt, Err: known}, dovetail.InDoubt},
		"one that does not know": {&dovetail.Error{Op: "push", Err: known}, dovetail.Invalid},
		"joined":                 {errors.Join(io.EOF, known), dovetail.Invalid},
		"joined, first unsure":   {errors.Join(&dovetail.Error{Op: "a"}, fmt.Errorf("b: %w", known)), dovetail.Invalid},
		"joined in order":        {errors.Join(saysClass(dovetail.Auth), known), dovetail.Auth},
		"deadline":               {fmt.Errorf("get: %w", context.DeadlineExceeded), dovetail.Transient},
		"deadline of a write":    {&dovetail.Error{Fault: dovetail.InDoubt, Err: context.DeadlineExceeded}, dovetail.InDoubt},
		"deadline, unsure":       {&dovetail.Error{Op: "get", Err: context.DeadlineExceeded}, dovetail.Transient},
		"cancelled":              {context.Canceled, dovetail.Unclassified},
		"a nil pointer":          {null, dovetail.Unclassified},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tc.want, dovetail.Classify(tc.err))
		})
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	asked := &dovetail.Error{Fault: dovetail.RateLimited, After: 3 * time.Second}
	var null *dovetail.Error
	for name, tc := range map[string]struct {
		err  error
		want time.Duration
	}{
		"nil":                  {nil, 0},
		"nobody said":          {io.EOF, 0},
		"asked":                {fmt.Errorf("get: %w", asked), 3 * time.Second},
		"under one that is by": {&dovetail.Error{Fault: dovetail.Unavailable, Op: "list", Err: asked}, 3 * time.Second},
		"the first":            {&dovetail.Error{After: time.Second, Err: asked}, time.Second},
		"joined":               {errors.Join(&dovetail.Error{}, asked), 3 * time.Second},
		"negative":             {&dovetail.Error{After: -1}, 0},
		"a nil pointer":        {null, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, ok := dovetail.RetryAfter(tc.err)
			require.Equal(t, tc.want, got)
			require.Equal(t, tc.want > 0, ok)
		})
	}
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	ref := dovetail.Ref{System: "erp", ID: "7"}
	var null *dovetail.Error
	for want, err := range map[string]error{
		`create invoice erp:7: field "total": 422: not a number`: &dovetail.Error{Op: "create invoice", Ref: ref, Field: "total", Code: "422", Err: errors.New("not a number")},
		`erp:7: 422`:   &dovetail.Error{Ref: ref, Code: "422"},
		`create: EOF`:  dovetail.NewError(dovetail.Transient, "create", "%w", io.EOF),
		`EOF`:          &dovetail.Error{Err: io.EOF},
		`in-doubt`:     &dovetail.Error{Fault: dovetail.InDoubt},
		`unclassified`: null,
	} {
		require.Equal(t, want, err.Error())
	}
	require.ErrorIs(t, dovetail.NewError(dovetail.Transient, "create", "%w", io.EOF), io.EOF)
	require.NotErrorIs(t, error(null), io.EOF)
}
