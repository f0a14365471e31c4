package render

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// junitRules are those of Jenkins' and GitLab's that matter: where an element may
// stand, which attributes it must have, and which it may.
var junitRules = map[string]struct {
	in        []string
	must, may []string
}{
	"testsuites": {[]string{""}, nil, []string{"name", "tests", "failures", "errors"}},
	"testsuite":  {[]string{"testsuites"}, []string{"name", "tests", "failures", "errors"}, []string{"skipped", "time", "timestamp"}},
	"properties": {[]string{"testsuite"}, nil, nil},
	"property":   {[]string{"properties"}, []string{"name", "value"}, nil},
	"testcase":   {[]string{"testsuite"}, []string{"name", "classname"}, []string{"time", "group"}},
	"skipped":    {[]string{"testcase"}, nil, []string{"type", "message"}},
	"error":      {[]string{"testcase"}, nil, []string{"type", "message"}},
	"failure":    {[]string{"testcase"}, nil, []string{"type", "message"}},
	"system-out": {[]string{"testcase"}, nil, nil},
}

var plainTime = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?$`)

// checkJUnit reads JUnit's XML element by element and says what is wrong.
func checkJUnit(text []byte) error {
	dec := xml.NewDecoder(bytes.NewReader(text))
	above := []string{""}
	cases := map[string]bool{}
	have, want := map[string]int{}, map[string]int{}
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		switch e := token.(type) {
		case xml.StartElement:
			attrs, err := junitAttrs(e, above[len(above)-1])
			if err != nil {
				return err
			}
			have[e.Name.Local]++
			switch e.Name.Local {
			case "testcase":
				key := attrs["classname"] + "\n" + attrs["name"]
				if cases[key] {
					return fmt.Errorf("testcase %q twice", key)
				}
				cases[key] = true
			case "testsuite":
				for element, attr := range map[string]string{"testcase": "tests", "failure": "failures", "error": "errors", "skipped": "skipped"} {
					n, err := strconv.Atoi(attrs[attr])
					if err != nil {
						return err
					}
					want[element] += n
				}
			}
			above = append(above, e.Name.Local)
		case xml.EndElement:
			above = above[:len(above)-1]
		case xml.CharData:
			if s := strings.ReplaceAll(string(e), "\n", ""); observe.Escape(s) != s {
				return fmt.Errorf("control characters in %q", s)
			}
		}
	}
	for element, n := range want {
		if have[element] != n {
			return fmt.Errorf("%d elements %s, counted as %d", have[element], element, n)
		}
	}
	return nil
}

// junitAttrs holds an element to the rules and returns its attributes.
func junitAttrs(e xml.StartElement, above string) (map[string]string, error) {
	rule, ok := junitRules[e.Name.Local]
	if !ok || !slices.Contains(rule.in, above) {
		return nil, fmt.Errorf("element %s in %q", e.Name.Local, above)
	}
	attrs := map[string]string{}
	for _, a := range e.Attr {
		if !slices.Contains(rule.must, a.Name.Local) && !slices.Contains(rule.may, a.Name.Local) {
			return nil, fmt.Errorf("attribute %s of %s", a.Name.Local, e.Name.Local)
		}
		if observe.Escape(a.Value) != a.Value {
			return nil, fmt.Errorf("control characters in %q", a.Value)
		}
		if a.Name.Local == "time" && !plainTime.MatchString(a.Value) {
			return nil, fmt.Errorf("time %q", a.Value)
		}
		attrs[a.Name.Local] = a.Value
	}
	for _, name := range rule.must {
		if _, ok := attrs[name]; !ok {
			return nil, fmt.Errorf("%s without %s", e.Name.Local, name)
		}
	}
	return attrs, nil
}

func TestJUnit(t *testing.T) {
	eachTold(t, "junit.xml", func(t *testing.T, tab *table.Table, text []byte) {
		if err := checkJUnit(text); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
		if want, got := len(tab.Columns)*(1+len(tab.Probes)), bytes.Count(text, []byte("<testcase ")); got != want {
			t.Errorf("%d testcases, want %d", got, want)
		}
	})
}

// A failure is the newer kernel's and says what changed; a note makes it pass.
func TestJUnitTells(t *testing.T) {
	got := string(export(t, exports[1].write, told["four"](t)))
	for _, want := range []string{
		`<testcase name="defaults" classname="6.1.192.limits">` + "\n" +
			`   <failure type="changed" message="1 change that nothing explains">between 5.10.262 and 6.1.192, the oldest of 5.10.y and of 6.1.y:&#xA;  max.per-bucket: 4 → 1</failure>`,
		`<testcase name="defaults" classname="6.12.117.limits"></testcase>`,
		`<skipped type="unsupported" message="no module nf_flow_table"></skipped>`,
		`<error type="broken" message="broken: left behind: 3 conntrack entries"></error>`,
		"syn.class: 7 new → 10 new: A &lt;full&gt; table makes room",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%s\nis not in\n%s", want, got)
		}
	}
}

// The rules find what is wrong.
func TestCheckJUnit(t *testing.T) {
	const good = `<testsuites><testsuite name="a" tests="1" failures="1" errors="0" skipped="0"><testcase name="b" classname="c" time="0.5"><failure>x</failure></testcase></testsuite></testsuites>`
	if err := checkJUnit([]byte(good)); err != nil {
		t.Error(err)
	}
	for _, edit := range [][2]string{
		{` errors="0"`, ""}, {`time="0.5"`, `time="5e-1"`}, {`time="0.5"`, `file="x"`}, {"<failure>x</failure>", "<properties></properties>"},
		{`tests="1"`, `tests="2"`}, {"</testcase>", `</testcase><testcase name="b" classname="c"/>`}, {">x<", ">&#x9b;<"}, {">x<", ">\x00<"},
	} {
		if bad := strings.Replace(good, edit[0], edit[1], 1); bad == good || checkJUnit([]byte(bad)) == nil {
			t.Errorf("taken: %s", bad)
		}
	}
}

// TestRealJUnitSchema holds every export to the schema in testdata with an
// independent validator.
func TestRealJUnitSchema(t *testing.T) {
	if os.Getenv("CTMATRIX_REAL_TESTS") == "" {
		t.Skip("runs xmllint: set CTMATRIX_REAL_TESTS=1")
	}
	eachTold(t, "junit.xml", func(t *testing.T, _ *table.Table, text []byte) {
		name := filepath.Join(t.TempDir(), "junit.xml")
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(t.Context(), "xmllint", "--noout", "--schema", "testdata/junit.xsd", name).CombinedOutput(); err != nil {
			t.Errorf("xmllint: %v\n%s", err, out)
		}
	})
}
