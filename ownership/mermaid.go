package ownership

import (
	"strconv"
	"strings"
)

// Mermaid renders the table as a flowchart: an arrow from who owns a field to
// who reads it, a double arrow between those who share it. It ends with a
// newline.
func (t *Table) Mermaid() string {
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	for s, name := range t.systems {
		b.WriteString("  s" + strconv.Itoa(s) + "[\"" + label(string(name)) + "\"]\n")
	}
	for from := range t.systems {
		for to := range t.systems {
			if from == to {
				continue
			}
			var owned, shared []string
			for f, name := range t.fields {
				switch a, z := t.Role(f, from), t.Role(f, to); {
				case a == Owner && z == Reader, a == Sharer && z == Reader:
					owned = append(owned, label(name))
				case a == Sharer && z == Sharer && from < to:
					shared = append(shared, label(name))
				}
			}
			if a, z := t.ExistsRole(from), t.ExistsRole(to); (a == Owner || a == Sharer) && z == Reader {
				owned = append(owned, "(creates, deletes)")
			} else if a == Sharer && z == Sharer && from < to {
				shared = append(shared, "(creates, deletes)")
			}
			arrow(&b, from, "-->", to, owned)
			arrow(&b, from, "<-->", to, shared)
		}
	}
	return b.String()
}

func arrow(b *strings.Builder, from int, line string, to int, fields []string) {
	if len(fields) > 0 {
		b.WriteString("  s" + strconv.Itoa(from) + " " + line + "|\"" + strings.Join(fields, "<br/>") + "\"| s" + strconv.Itoa(to) + "\n")
	}
}

// label makes a name safe inside a quoted Mermaid text.
func label(s string) string {
	return strings.NewReplacer("#", "#35;", `"`, "#quot;", "<", "#lt;", ">", "#gt;", "&", "#amp;", "`", "#96;", "\n", " ", "\r", " ").Replace(s)
}
