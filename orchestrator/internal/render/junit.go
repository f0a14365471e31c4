package render

import (
	"encoding/xml"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// The elements of JUnit's XML, as far as Jenkins' strict schema and GitLab agree
// on them; testdata/junit.xsd is this profile.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Name     string       `xml:"name,attr"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Errors   int          `xml:"errors,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name       string          `xml:"name,attr"`
		Tests      int             `xml:"tests,attr"`
		Failures   int             `xml:"failures,attr"`
		Errors     int             `xml:"errors,attr"`
		Skipped    int             `xml:"skipped,attr"`
		Time       string          `xml:"time,attr,omitempty"`
		Timestamp  string          `xml:"timestamp,attr,omitempty"`
		Properties []junitProperty `xml:"properties>property"`
		Cases      []junitCase     `xml:"testcase"`
	}
	junitProperty struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	}
	junitCase struct {
		Name    string      `xml:"name,attr"`
		Class   string      `xml:"classname,attr"`
		Time    string      `xml:"time,attr,omitempty"`
		Skipped *junitCause `xml:"skipped"`
		Error   *junitCause `xml:"error"`
		Failure *junitCause `xml:"failure"`
		Out     string      `xml:"system-out,omitempty"`
	}
	junitCause struct {
		Type    string `xml:"type,attr"`
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// JUnit writes a testsuite for each kernel of a table and in it a testcase for
// each probe, and one for the kernel's run as a whole. A change that nothing
// explains is a failure of the newer kernel; what is broken, crashed or never ran is
// an error; what is unsupported, or was not reached for an error that is told
// already, is skipped. Started is when the run began; zero where that is unknown.
//
// Times are the host's: of a suite all it took, of a testcase nothing where the
// guest had a virtual clock, on which five days pass in seconds.
func JUnit(w io.Writer, t *table.Table, started time.Time) error {
	j := newJudge(t)
	all := junitSuites{Name: "ctmatrix"}
	names := namer{}
	for i := range t.Columns {
		s := j.suite(i, names)
		if !started.IsZero() {
			s.Timestamp = started.UTC().Format("2006-01-02T15:04:05")
		}
		all.Tests += s.Tests
		all.Failures += s.Failures
		all.Errors += s.Errors
		all.Suites = append(all.Suites, s)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", " ")
	if err := enc.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func (j *judge) suite(column int, names namer) junitSuite {
	c := j.t.Columns[column]
	label := observe.Escape(c.Label)
	s := junitSuite{Name: label, Properties: properties(c)}
	var took time.Duration
	for _, step := range c.Steps {
		took += step.Elapsed
	}
	if took > 0 {
		s.Time = plainSeconds(took)
	}
	elapsed := map[string]time.Duration{}
	if c.Guest.Clock != usualClock {
		for _, p := range c.Probes {
			elapsed[p.Name] = p.Elapsed
		}
	}
	// One name space for all of the file: GitLab tells cases apart by class and name.
	named := func(class, name string) junitCase {
		key := class + "\n"
		return junitCase{Class: class, Name: strings.TrimPrefix(names.name(key+name), key)}
	}
	s.add(named(label, "run"), j.cell(column))
	for _, p := range j.t.Probes {
		family, rest := splitProbe(p.Name)
		tc := named(label+"."+observe.Escape(family), observe.Escape(rest))
		if d := elapsed[p.Name]; d > 0 {
			tc.Time = plainSeconds(d)
		}
		s.add(tc, j.probe(p, column))
	}
	return s
}

// add counts a testcase by its verdict.
func (s *junitSuite) add(tc junitCase, v verdict) {
	cause := func(kind string) *junitCause {
		return &junitCause{Type: kind, Message: v.head, Text: strings.Join(v.lines, "\n")}
	}
	s.Tests++
	switch v.judgement {
	case isChanged:
		s.Failures++
		tc.Failure = cause("changed")
	case isUnsteady, isBroken, isCrashed, isMissing:
		s.Errors++
		tc.Error = cause(v.name())
	case isLacking, isUnasked:
		s.Skipped++
		tc.Skipped = cause(v.name())
	}
	if len(v.notes) > 0 {
		tc.Out = "explained by notes:\n" + strings.Join(v.notes, "\n")
	}
	s.Cases = append(s.Cases, tc)
}

// name is a judgement in a word, for programs.
func (j judgement) name() string {
	return [...]string{
		isAlone: "alone", isAgreed: "agrees", isChanged: "changed", isLacking: "unsupported", isUnsteady: "unstable",
		isBroken: "broken", isCrashed: "crashed", isMissing: "missing", isUnasked: "missing",
	}[j]
}

// properties say which kernel a column is, and what it ran on.
func properties(c table.Column) []junitProperty {
	var out []junitProperty
	for _, p := range []junitProperty{
		{"ref", c.Kernel.Ref}, {"version", c.Kernel.Version}, {"release", c.Kernel.Release},
		{"flavour", c.Kernel.Flavour}, {"arch", c.Kernel.Arch}, {"digest", c.Kernel.Digest},
		{"variant", c.Variant}, {"qemu", c.Guest.QEMU}, {"machine", c.Guest.Machine},
		{"accel", c.Guest.Accel}, {"clock", c.Guest.Clock}, {"memory", c.Guest.Memory}, {"agent", c.Guest.Agent},
	} {
		if p.Value != "" {
			out = append(out, junitProperty{p.Name, clip(p.Value, mostText)})
		}
	}
	return out
}

// plainSeconds is a time without an exponent.
func plainSeconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 3, 64) }
