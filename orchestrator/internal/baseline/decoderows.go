package baseline

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// fact reads a line of a family's file.
func (d *decoder) fact(line []byte) error {
	text := string(line)
	if d.line == 1 {
		if text != rowsHead {
			return d.fault("does not begin as a family's file: write %s", rowsHead)
		}
		if !familyName.MatchString(d.family) {
			return d.fault("%s is no name of a family: %s", brief(d.family), anew)
		}
		return nil
	}
	name, rest, ok := strings.Cut(text, " ")
	if !ok {
		return d.fault("%s is neither a probe's line nor a row's: %s", brief(text), anew)
	}
	if strings.Count(name, "/") == 1 {
		return d.probeLine(name, rest)
	}
	return d.rowLine(name, rest)
}

// probeLine reads what became of a probe: "recorded 7.3=unasked".
func (d *decoder) probeLine(name, text string) error {
	family, err := probeFamily(name)
	switch {
	case err != nil:
		return d.fault("%v", err)
	case family != d.family:
		return d.fault("probe %s is not of this family: move it to %s", name, family+rowsSuffix)
	case d.probe >= name:
		return d.fault("probe %s after %s: probes are sorted and each is there once", name, d.probe)
	}
	d.probe, d.row, d.recorded = name, "", nil
	all := make([]int, len(d.cells))
	for i := range all {
		all[i] = i
	}
	answered := false
	err = d.steps(text, all, func(text string) (step, string, error) {
		p, rest, err := outcomeOf(text)
		p.Name = name
		return step{text[:len(text)-len(rest)], func(column int) {
			if p.Outcome == observe.Recorded {
				d.recorded = append(d.recorded, column)
			}
			if p.Outcome != observe.Missing {
				answered = true
				d.cells[column].Probes = append(d.cells[column].Probes, p)
			}
		}}, rest, err
	})
	if err == nil && !answered {
		return d.fault("no kernel was asked probe %s: remove the line", name)
	}
	return err
}

// outcomeOf reads a word of a probe's line. Missing stands for unasked.
func outcomeOf(text string) (p results.Probe, rest string, err error) {
	end := strings.IndexAny(text, " :")
	if end < 0 {
		end = len(text)
	}
	word, rest := text[:end], text[end:]
	switch word {
	case wordRecorded:
		return results.Probe{Outcome: observe.Recorded}, rest, nil
	case wordUnasked:
		return results.Probe{Outcome: observe.Missing}, rest, nil
	case wordUnsupported:
		p.Outcome = observe.Unsupported
		if reason, ok := strings.CutPrefix(rest, ":"); ok {
			if p.Reason, rest, err = unquote(reason); err == nil && p.Reason == "" {
				err = errors.New("the reason is empty: leave it out")
			}
		}
		return p, rest, err
	}
	return p, rest, fmt.Errorf(`%s is not what becomes of a probe: write recorded, unsupported:"reason" or unasked`, brief(word))
}

// rowLine reads the values of a row: `count "7" 6.12="8"`.
func (d *decoder) rowLine(name, text string) error {
	word, text, _ := strings.Cut(text, " ")
	row := observe.Row{Name: name, Kind: observe.Kind(word)}
	err := row.Check()
	switch {
	case err != nil:
		return d.fault("%v: %s", err, anew)
	case row.Kind == observe.Chance:
		return d.fault("row %s is of chance, which no baseline holds: remove it", name)
	case row.Probe() != d.probe:
		return d.fault("row %s does not stand below its probe: %s", name, anew)
	case d.row >= name:
		return d.fault("row %s after %s: rows are sorted and each is there once", name, d.row)
	case len(d.recorded) == 0:
		return d.fault("row %s is of a probe that no kernel recorded: remove it", name)
	}
	d.row = name
	if d.values += len(d.recorded); d.values > maxValues {
		return d.fault("more than %d values in all: bless fewer kernels or probes", maxValues)
	}
	seen := false
	err = d.steps(text, d.recorded, func(text string) (step, string, error) {
		if rest, ok := strings.CutPrefix(text, wordAbsent); ok {
			return step{wordAbsent, func(int) {}}, rest, nil
		}
		value := row
		kind, _, other := strings.Cut(text, `:"`)
		if other = other && !strings.HasPrefix(text, `"`); other {
			value.Kind = observe.Kind(kind)
			text = text[len(kind)+1:]
		}
		var rest string
		var err error
		value.Value, rest, err = unquote(text)
		switch {
		case err != nil:
		case other && (value.Kind == row.Kind || !seen):
			err = fmt.Errorf("kind %s of the row: write it before the values only", brief(kind))
		case value.Kind == observe.Chance:
			err = errors.New("a value of chance, which no baseline holds: remove it")
		default:
			err = value.Check()
		}
		seen = true
		return step{string(value.Kind) + strconv.Quote(value.Value), func(column int) { d.add(column, value) }}, rest, err
	})
	if err == nil && !seen {
		return d.fault("no kernel has row %s: remove the line", name)
	}
	return err
}

// add is one value of a row on a kernel.
func (d *decoder) add(column int, row observe.Row) {
	c := &d.cells[column]
	c.Rows = append(c.Rows, row)
	c.Probes[len(c.Probes)-1].Rows++ // the one that is read, since the kernel recorded it
}

// step is a word, and what it does to each kernel for which it holds.
type step struct {
	word string
	set  func(column int)
}

// steps reads words, each but the first with the kernel from which on it holds,
// and applies each to its kernels.
func (d *decoder) steps(text string, columns []int, read func(text string) (step, string, error)) error {
	var now step
	next := 0 // of columns: the first for which nothing holds yet
	for first := true; first || text != ""; first = false {
		from := next
		if !first {
			name, rest, ok := strings.Cut(strings.TrimPrefix(text, " "), "=")
			column, known := d.index[name]
			switch {
			case !ok || text[0] != ' ':
				return d.fault("%s: write 6.12=… for what holds from a kernel on", brief(text))
			case !known:
				return d.fault("%s is no kernel of %s: %s", brief(name), KernelsFile, anew)
			}
			from++
			for from < len(columns) && columns[from] != column {
				from++
			}
			if from == len(columns) {
				return d.fault("kernel %s did not record the probe, or stands after a later one: %s", name, anew)
			}
			text = rest
		}
		for ; next < from; next++ {
			now.set(columns[next])
		}
		s, rest, err := read(text)
		switch {
		case err != nil:
			return d.fault("%v", err)
		case !first && s.word == now.word:
			return d.fault("%s is what held before: remove it", brief(s.word))
		}
		now, text = s, rest
	}
	for ; next < len(columns); next++ {
		now.set(columns[next])
	}
	return nil
}

// unquote reads a value in quotes, in the one form in which it is written.
func unquote(text string) (value, rest string, err error) {
	quoted, err := strconv.QuotedPrefix(text)
	if err != nil || quoted[0] != '"' {
		return "", text, fmt.Errorf("%s does not begin with a value in double quotes: %s", brief(text), anew)
	}
	if value, err = strconv.Unquote(quoted); err != nil || strconv.Quote(value) != quoted {
		return "", text, fmt.Errorf("%s is not as bless writes it: write %s", brief(quoted), brief(strconv.Quote(value)))
	}
	if len(value) > observe.MaxValue {
		return "", text, fmt.Errorf("a value of %d bytes, more than %d: %s", len(value), observe.MaxValue, anew)
	}
	return value, text[len(quoted):], nil
}
