package conflicttest_test

import (
	"context"
	"strings"
	"testing"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/conflict"
	"github.com/tectari/dovetail/conflict/conflicttest"
)

// international prefers the one number that has a country code.
func international(_ context.Context, c conflict.Conflict) (conflict.Decision, error) {
	left := strings.HasPrefix(c.Left.Value.Text(), "+")
	right := strings.HasPrefix(c.Right.Value.Text(), "+")
	switch {
	case c.Left.Value == c.Right.Value && !c.Left.Value.IsAbsent():
		return conflict.Take(c.Left, "both sides agree"), nil
	case left && !right:
		return conflict.Take(c.Left, "it has a country code"), nil
	case right && !left:
		return conflict.Take(c.Right, "it has a country code"), nil
	default:
		return conflict.ParkFor("cannot tell which phone number is right"), nil
	}
}

func ExampleLaws() {
	_ = func(t *testing.T) { // func TestInternational(t *testing.T)
		conflicttest.Laws(t, conflict.Func(international), conflicttest.Config{
			Field:  "phone",
			Values: []dovetail.Value{dovetail.String("+49 30 1"), dovetail.String("030 1"), dovetail.String("+1 212 1")},
		})
	}
	// Output:
}

// The resolver of the example keeps the laws that it is shown with.
func TestInternational(t *testing.T) {
	t.Parallel()
	conflicttest.Laws(t, conflict.Func(international), conflicttest.Config{
		Field:  "phone",
		Values: []dovetail.Value{dovetail.String("+49 30 1"), dovetail.String("030 1"), dovetail.String("+1 212 1")},
	})
}
