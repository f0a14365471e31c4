package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dustin/go-humanize"

	"github.com/ctmatrix/ctmatrix/images/kernel"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/render"
)

// inventory is a table of kernels.
type inventory struct {
	all     []kernel.Info
	now     time.Time
	allowed bool // whether unverified kernels are taken
}

// column is one column of it.
type column struct {
	head  string
	cell  func(kernel.Info) string
	spare int // columns that do not fit go in this order, 0 never
	right bool
}

// flavourHead heads the column without which versions bear the flavour.
const flavourHead = "FLAVOUR"

func (t inventory) columns(width int) []column {
	from := 18 // a suite's name
	if width >= 120 {
		from = 48
	}
	columns := []column{
		{head: "VERSION", cell: func(i kernel.Info) string { return i.Version }},
		{head: flavourHead, cell: func(i kernel.Info) string { return i.Flavour }, spare: 2},
		{head: "RELEASE", cell: func(i kernel.Info) string { return i.Release }, spare: 3},
		{head: "FROM", cell: func(i kernel.Info) string { return origin(i, from) }, spare: 6},
		{head: "INDEX", cell: indexed},
		{head: "DOWNLOAD", cell: func(i kernel.Info) string {
			if i.Gone {
				return "gone"
			}
			return size(i.Download)
		}, spare: 5, right: true},
		{head: "STORED", cell: func(i kernel.Info) string {
			if i.Stored == nil {
				return ""
			}
			return size(i.Stored.Size)
		}, right: true},
		{head: "USED", cell: func(i kernel.Info) string {
			if i.Stored == nil {
				return ""
			}
			return ago(t.now.Sub(i.Stored.Used))
		}, spare: 4, right: true},
		{head: "DIGEST", cell: func(i kernel.Info) string {
			if i.Stored == nil {
				return ""
			}
			return fmt.Sprintf("%.12s", i.Stored.Digest)
		}, spare: 1},
	}
	return slices.DeleteFunc(columns, func(c column) bool { return !t.tells(c) })
}

// tells reports whether a column says anything: the flavour that is meant when
// none is named does not.
func (t inventory) tells(c column) bool {
	values := map[string]bool{}
	for _, i := range t.all {
		values[c.cell(i)] = true
	}
	switch c.head {
	case flavourHead:
		delete(values, kernel.DefaultFlavour)
	case "VERSION", "RELEASE", "INDEX":
		return true
	}
	delete(values, "")
	return len(values) > 0
}

// flavoured is a version with the flavour, where it is not the one that is meant
// when none is named.
func flavoured(i kernel.Info) string {
	if i.Flavour == "" || i.Flavour == kernel.DefaultFlavour {
		return i.Version
	}
	return i.Version + " " + i.Flavour
}

// origin is where a kernel comes from: a suite, else the ref. Of a long path the
// end is told, and the version has what host: leaves out.
func origin(i kernel.Info, most int) string {
	switch {
	case i.Suite != "":
		return i.Suite
	case i.Source == kernel.SchemeHost:
		return i.Source + ":"
	}
	text := []rune(i.Ref)
	if len(text) <= most {
		return string(text)
	}
	scheme, _, _ := strings.Cut(i.Ref, ":")
	tail := most - len(scheme) - len(":…")
	if tail < 1 {
		return string(text[:most])
	}
	return scheme + ":…" + string(text[len(text)-tail-2:])
}

// indexed tells whether a signed index vouches for a package.
func indexed(i kernel.Info) string {
	switch {
	case i.Verified:
		return "verified"
	case i.Source == kernel.SchemeDebian:
		return "unverified"
	}
	return ""
}

func size(bytes int64) string {
	if bytes <= 0 {
		return ""
	}
	return humanize.IBytes(uint64(bytes))
}

// ago says how long ago something was, in one unit.
func ago(d time.Duration) string {
	switch {
	case d < time.Minute:
		return "now"
	case d < time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return fmt.Sprintf("%d d", d/(24*time.Hour))
}

// write writes the first kernels, which are offered, then the others, then how
// many there are. What the others lack leaves room, so that each has its columns.
func (t inventory) write(w io.Writer, o render.Options, offered int, storeOnly bool) error {
	for n, part := range [][]kernel.Info{t.all[:offered], t.all[offered:]} {
		if len(part) == 0 {
			continue
		}
		if n == 1 && offered > 0 {
			if _, err := fmt.Fprintln(w, "\nalso in the store"); err != nil {
				return err
			}
		}
		p := inventory{all: part, now: t.now}
		columns := p.fit(p.columns(o.Width), o.Width)
		if err := render.Columns(w, p.heads(columns), p.rows(columns), o); err != nil {
			return err
		}
	}
	if len(t.all) > 0 {
		if _, err := fmt.Fprintln(w); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(w, t.summary(offered, storeOnly))
	return err
}

// fit drops the columns that one can do without until the rest fit.
func (t inventory) fit(columns []column, width int) []column {
	for {
		need := -2
		drop := -1
		for n, c := range columns {
			need += 2 + t.width(c)
			if c.spare > 0 && (drop < 0 || c.spare < columns[drop].spare) {
				drop = n
			}
		}
		if need <= width || drop < 0 {
			return columns
		}
		if columns[drop].head == flavourHead {
			columns[0].cell = flavoured
		}
		columns = slices.Delete(columns, drop, drop+1)
	}
}

func (t inventory) width(c column) int {
	most := len(c.head)
	for _, i := range t.all {
		most = max(most, utf8.RuneCountInString(c.cell(i)))
	}
	return most
}

func (t inventory) heads(columns []column) []string {
	var out []string
	for _, c := range columns {
		out = append(out, t.pad(c, c.head))
	}
	return out
}

func (t inventory) rows(columns []column) [][]string {
	var out [][]string
	for _, i := range t.all {
		var row []string
		for _, c := range columns {
			row = append(row, t.pad(c, c.cell(i)))
		}
		out = append(out, row)
	}
	return out
}

// pad puts numbers at the right of their column.
func (t inventory) pad(c column, text string) string {
	if !c.right {
		return text
	}
	return strings.Repeat(" ", t.width(c)-utf8.RuneCountInString(text)) + text
}

// summary is the last lines: how many there are, and what they take.
func (t inventory) summary(offered int, storeOnly bool) string {
	var unverified, missing, unknown, gone, here int
	var download, taken int64
	seen := map[string]bool{}
	for n, i := range t.all {
		if n < offered && !i.Verified && i.Source == kernel.SchemeDebian {
			unverified++
		}
		switch {
		case i.Gone:
			gone++
		case i.Stored == nil:
			missing++
			if i.Download == 0 && i.Source == kernel.SchemeDebian {
				unknown++
			}
			download += i.Download
		case !seen[i.Stored.Digest]:
			seen[i.Stored.Digest] = true
			here++
			taken += i.Stored.Size
		}
	}
	var parts []string
	if !storeOnly {
		parts = append(parts, fmt.Sprintf("%d offered", offered))
	}
	parts = append(parts, strings.TrimSuffix(fmt.Sprintf("%d stored, %s", here, size(taken)), ", "))
	if missing > 0 {
		fetch := strings.TrimSuffix(fmt.Sprintf("%d to fetch, %s", missing, size(download)), ", ")
		if unknown > 0 && download > 0 {
			fetch += " and more"
		}
		parts = append(parts, fetch)
	}
	line := strings.Join(parts, " · ")
	if gone > 0 {
		line += fmt.Sprintf("\n%d gone from the mirror, although its index names them", gone)
	}
	if unverified > 0 && !t.allowed {
		line += fmt.Sprintf("\n%d unverified, which a run takes only with --allow-unverified", unverified)
	}
	return line
}
