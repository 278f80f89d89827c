package ownership

import "strings"

// Markdown renders the table for the people who decide: one row per field, one
// column per system. It ends with a newline.
func (t *Table) Markdown() string {
	var b strings.Builder
	row := func(cells ...string) {
		b.WriteByte('|')
		for _, c := range cells {
			b.WriteString(" " + c + " |")
		}
		b.WriteByte('\n')
	}
	b.WriteString("## " + cell(t.record) + ": who owns what\n\n")
	head, line := []string{"field"}, []string{"---"}
	for _, s := range t.systems {
		head, line = append(head, cell(string(s))), append(line, "---")
	}
	row(append(head, "on trespass", "group")...)
	row(append(line, "---", "---")...)
	for f, name := range t.fields {
		cells := []string{cell(name)}
		for s := range t.systems {
			cells = append(cells, verb(t.Role(f, s), "owns", "shares", "reads"))
		}
		group := "–"
		if g := t.Group(f); g >= 0 {
			group = cell(t.names[g])
		}
		row(append(cells, t.trespass[f].String(), group)...)
	}
	cells := []string{"*the record itself*"}
	for s := range t.systems {
		cells = append(cells, verb(t.ExistsRole(s), "creates, deletes", "creates, deletes", "follows"))
	}
	row(append(cells, "foreign delete: "+t.deletion.String(), "–")...)
	return b.String()
}

// verb says a role in the words of a reader who never saw the constants.
func verb(r Role, owner, sharer, reader string) string {
	switch r {
	case Owner:
		return owner
	case Sharer:
		return sharer
	case Reader:
		return reader
	default:
		return "–"
	}
}

// cell makes a name safe inside a table: it can neither end the cell nor format.
func cell(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			b.WriteByte(' ')
		case r == '<':
			b.WriteString("&lt;")
		case r == '&':
			b.WriteString("&amp;")
		case strings.ContainsRune("\\|`*[]", r):
			b.WriteByte('\\')
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
