package orders

import (
	"bufio"
	"errors"
	"io"
	"strings"
)

const (
	maxLine   = 64 << 10 // bytes of one line
	maxJoined = 20       // lines that one quoted field may span
)

// record is the text of one CSV record and the line it begins on. fault says
// why the text cannot be one.
type record struct {
	line  int
	text  string
	fault string
}

// splitter cuts a file into records. encoding/csv alone would let one
// forgotten quote swallow the rest of the file: here it costs one line.
type splitter struct {
	in     *bufio.Reader
	line   int      // number of the last line taken
	ahead  []string // lines read in search of a closing quote that never came
	failed error
}

// next returns the next record, skipping empty lines, or io.EOF.
func (s *splitter) next() (record, error) {
	for {
		text, err := s.takeLine()
		if err != nil {
			return record{}, err
		}
		r := record{line: s.line, text: text}
		switch {
		case strings.TrimSpace(text) == "":
			continue
		case len(text) > maxLine:
			r.text, r.fault = text[:maxLine], "line is too long"
		case strings.Count(text, `"`)%2 == 1:
			s.join(&r)
		}
		return r, nil
	}
}

// join adds lines to r until its quotes are balanced. If they never are, it
// puts the lines back.
func (s *splitter) join(r *record) {
	var more []string
	var text strings.Builder
	text.WriteString(r.text)
	for len(more) < maxJoined {
		line, err := s.takeLine()
		if err != nil {
			break
		}
		more = append(more, line)
		text.WriteString("\n" + line)
		if len(text.String()) > maxLine {
			break
		}
		if strings.Count(line, `"`)%2 == 1 {
			r.text = text.String()
			return
		}
	}
	r.fault = "a quote is never closed"
	s.line -= len(more)
	s.ahead = append(more, s.ahead...)
}

func (s *splitter) takeLine() (string, error) {
	if len(s.ahead) > 0 {
		line := s.ahead[0]
		s.ahead = s.ahead[1:]
		s.line++
		return line, nil
	}
	if s.failed != nil {
		return "", s.failed
	}
	var b strings.Builder
	for {
		part, err := s.in.ReadSlice('\n')
		if b.Len() <= maxLine { // the rest of a monstrous line is read but not kept
			b.Write(part)
		}
		if err == nil {
			break
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			s.failed = err
			if b.Len() == 0 || !errors.Is(err, io.EOF) {
				return "", err
			}
			break
		}
	}
	s.line++
	return strings.TrimRight(b.String(), "\r\n"), nil
}
