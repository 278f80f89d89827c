// Package contender holds the queues that are measured: ours, its peers and the
// same work by hand, one file each.
package contender

import (
	"fmt"
	"runtime/debug"
	"slices"

	"github.com/tectari/dovetail/internal/bench/outbox/harness"
)

// All returns every contender on every server.
func All() []harness.Contender {
	return slices.Concat(
		dovetails(),
		rivers(), watermills(), gues(), dboses(), goqites(), absentees(),
		floors(), bares(),
	)
}

// On returns the contenders of a server whose names are wanted; all of them if
// none is named.
func On(server string, names []string) []harness.Contender {
	return slices.DeleteFunc(All(), func(c harness.Contender) bool {
		return c.Database != server || (len(names) > 0 && !slices.Contains(names, c.Name))
	})
}

// absentees are peers that the design names and that cannot be built here.
func absentees() []harness.Contender {
	const refused = "the module proxy answers 403 (this module version is not available)"
	var list []harness.Contender
	for _, c := range []struct{ name, database, module string }{
		{"oagudo", "postgres", "github.com/oagudo/outbox"},
		{"oagudo", "mariadb", "github.com/oagudo/outbox"},
		{"oagudo", "sqlite", "github.com/oagudo/outbox"},
		{"Watermill", "sqlite", "github.com/ThreeDotsLabs/watermill-sqlite"},
	} {
		list = append(list, harness.Contender{
			Name: c.name, Database: c.database, Role: harness.Peer, Absent: fmt.Sprintf("%s: %s", c.module, refused),
		})
	}
	return list
}

// version returns a module and the version of it that this command was built with.
func version(module string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == module {
				return module + " " + m.Version
			}
		}
	}
	return module + " of unknown version"
}
