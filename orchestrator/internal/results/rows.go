package results

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// The parts of a line of rows.jsonl, as encoding/json writes a row. A run has tens of
// thousands of them, so the lines whose strings hold nothing that is written in
// another way are written and read here; the others are left to encoding/json.
const (
	beforeName  = `{"row":"`
	beforeKind  = `","kind":"`
	beforeValue = `","value":"`
	afterValue  = `"}`
)

// usualRow is about how many bytes a line takes.
const usualRow = 128

// asItIs reports whether JSON writes a string as it is.
func asItIs(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// encodeRows returns sorted rows in the form of rows.jsonl.
func encodeRows(rows []observe.Row) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	for i, row := range rows {
		if err := row.Check(); err != nil {
			return nil, err
		}
		if i > 0 && rows[i-1].Name == row.Name {
			return nil, fmt.Errorf("row %s twice", row.Name)
		}
		if asItIs(row.Value) { // as are a name and a kind that are checked
			for _, part := range []string{beforeName, row.Name, beforeKind, string(row.Kind), beforeValue, row.Value, afterValue, "\n"} {
				buf.WriteString(part)
			}
			continue
		}
		if err := enc.Encode(row); err != nil {
			return nil, fmt.Errorf("encode row %s: %w", row.Name, err)
		}
	}
	return buf.Bytes(), nil
}

// parseRows reads rows.jsonl. With an error comes the number of its line.
func parseRows(data []byte) (rows []observe.Row, line int, err error) {
	rows = slices.Grow(rows, len(data)/usualRow)
	for text := string(data); text != ""; {
		line++
		one, rest, ended := strings.Cut(text, "\n")
		if !ended {
			return nil, line, errors.New("line is cut short")
		}
		text = rest
		row, plain := plainRow(one)
		if !plain {
			if err := strict([]byte(one), &row); err != nil {
				return nil, line, err
			}
		}
		if err := row.Check(); err != nil {
			return nil, line, err
		}
		if n := len(rows); n > 0 && rows[n-1].Name >= row.Name {
			return nil, line, fmt.Errorf("row %s after %s: rows are sorted and each is there once", row.Name, rows[n-1].Name)
		}
		rows = append(rows, row)
	}
	return rows, line, nil
}

// plainRow reads a line that encodeRows wrote without encoding/json.
func plainRow(line string) (observe.Row, bool) {
	rest, ok := strings.CutPrefix(line, beforeName)
	name, rest, okName := strings.Cut(rest, beforeKind)
	kind, rest, okKind := strings.Cut(rest, beforeValue)
	value, okValue := strings.CutSuffix(rest, afterValue)
	if !ok || !okName || !okKind || !okValue || !asItIs(name) || !asItIs(kind) || !asItIs(value) {
		return observe.Row{}, false
	}
	return observe.Row{Name: name, Kind: observe.Kind(kind), Value: value}, true
}
