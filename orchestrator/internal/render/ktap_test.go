package render

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// result is one test as KTAP tells it.
type result struct {
	ok         bool
	name, rest string // what follows the sign
	below      []result
}

func (r result) skipped() bool { return r.rest == "SKIP" || strings.HasPrefix(r.rest, "SKIP ") }

// The four kinds of lines of Documentation/dev-tools/ktap.rst.
var (
	ktapPlan   = regexp.MustCompile(`^1\.\.(0|[1-9][0-9]*)$`)
	ktapResult = regexp.MustCompile(`^(ok|not ok) ([1-9][0-9]*)(?: ([^#]*[^# ]))?(?: # ?(.*))?$`)
)

// ktapReader reads KTAP as the specification has it and takes nothing that the
// specification only tolerates: unknown lines, a missing plan, tests without a name.
type ktapReader struct {
	lines []string
	at    int
}

func (k *ktapReader) fail(format string, args ...any) error {
	return fmt.Errorf("line %d: "+format, append([]any{k.at + 1}, args...)...)
}

// next returns the line to come without its indent, if it has just that.
func (k *ktapReader) next(depth int) (string, bool) {
	if k.at == len(k.lines) {
		return "", false
	}
	text, ok := strings.CutPrefix(k.lines[k.at], strings.Repeat("  ", depth))
	return text, ok && !strings.HasPrefix(text, " ")
}

// results reads a version line, a plan and as many tests as it says.
func (k *ktapReader) results(depth int) ([]result, error) {
	if text, ok := k.next(depth); !ok || text != "KTAP version 1" {
		return nil, k.fail("no version line")
	}
	k.at++
	text, _ := k.next(depth)
	m := ktapPlan.FindStringSubmatch(text)
	if m == nil {
		return nil, k.fail("no plan: %q", text)
	}
	k.at++
	plan, err := strconv.Atoi(m[1])
	if err != nil {
		return nil, err
	}
	var out []result
	for len(out) < plan {
		r, err := k.test(depth, len(out)+1)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// test reads what is below a test, what is said of it, and its result.
func (k *ktapReader) test(depth, number int) (r result, err error) {
	if text, ok := k.next(depth + 1); ok && text == "KTAP version 1" {
		if r.below, err = k.results(depth + 1); err != nil {
			return r, err
		}
	}
	text, ok := k.next(depth)
	for ; ok && strings.HasPrefix(text, "#"); text, ok = k.next(depth) {
		if text != "#" && !strings.HasPrefix(text, "# ") {
			return r, k.fail("diagnostic line %q", text)
		}
		k.at++
	}
	m := ktapResult.FindStringSubmatch(text)
	if !ok || m == nil {
		return r, k.fail("no result: %q", text)
	}
	if m[2] != strconv.Itoa(number) {
		return r, k.fail("test %s, want %d", m[2], number)
	}
	r.ok, r.name, r.rest = m[1] == "ok", m[3], m[4]
	if r.name == "" {
		return r, k.fail("no description")
	}
	if word, _, _ := strings.Cut(r.rest, " "); (word == "ERROR" || word == "TIMEOUT") && r.ok {
		return r, k.fail("ok with %s", word)
	}
	if failed := failedBelow(r.below); len(r.below) > 0 && failed == r.ok {
		return r, k.fail("%s ok: %v, below it failed: %v", r.name, r.ok, failed)
	}
	k.at++
	return r, nil
}

func failedBelow(below []result) bool {
	for _, r := range below {
		if !r.ok && !r.skipped() {
			return true
		}
	}
	return false
}

func readKTAP(text string) ([]result, error) {
	body, ok := strings.CutSuffix(text, "\n")
	if !ok {
		return nil, fmt.Errorf("no newline at the end")
	}
	k := &ktapReader{lines: strings.Split(body, "\n")}
	out, err := k.results(0)
	if err == nil && k.at != len(k.lines) {
		err = k.fail("something follows the last test")
	}
	return out, err
}

// KTAP is what its specification says: a test for each kernel, in it the run and
// each family, in these each probe.
func TestKTAP(t *testing.T) {
	eachTold(t, "ktap", func(t *testing.T, tab *table.Table, text []byte) {
		kernels, err := readKTAP(string(text))
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if len(kernels) != len(tab.Columns) {
			t.Errorf("%d kernels, want %d", len(kernels), len(tab.Columns))
		}
		for _, k := range kernels {
			probes := 0
			for _, f := range k.below {
				probes += len(f.below)
			}
			if k.below[0].name != "run" || probes != len(tab.Probes) {
				t.Errorf("%s: %s, and %d probes, want run and %d", k.name, k.below[0].name, probes, len(tab.Probes))
			}
		}
		for _, l := range strings.Split(string(text), "\n") {
			if observe.Escape(l) != l {
				t.Errorf("line that a terminal may act on: %q", l)
			}
			if n := len([]rune(l)); n > 5*mostWords {
				t.Errorf("line of %d characters", n)
			}
		}
	})
}

// The reader takes what the specification shows, and nothing else.
func TestReadKTAP(t *testing.T) {
	good := "KTAP version 1\n1..2\n  KTAP version 1\n  1..2\n    KTAP version 1\n    1..2\n    # why\n    not ok 1 test_1\n    ok 2 test_2\n  not ok 1 test_3\n  ok 2 test_4 # SKIP\nnot ok 1 example_test_1\nok 2 example_test_2\n"
	if _, err := readKTAP(good); err != nil {
		t.Error(err)
	}
	for name, edit := range map[string][2]string{
		"number":     {"ok 2 test_2", "ok 3 test_2"},
		"too few":    {"    ok 2 test_2\n", ""},
		"parent":     {"not ok 1 example", "ok 1 example"},
		"indent":     {"  ok 2 test_4", "   ok 2 test_4"},
		"unknown":    {"1..2\n", "1..2\nhello\n"},
		"plan":       {"1..2\n", ""},
		"version":    {"  KTAP version 1\n", ""},
		"sign":       {"ok 2 test_2", "ok 2 test#2"},
		"error":      {"ok 2 test_2", "ok 2 test_2 # ERROR x"},
		"diagnostic": {"# why", "#why"},
		"end":        {"ok 2 example_test_2\n", "ok 2 example_test_2"},
		"after":      {"ok 2 example_test_2\n", "ok 2 example_test_2\nok 3 more\n"},
	} {
		if bad := strings.Replace(good, edit[0], edit[1], 1); bad == good {
			t.Errorf("%s: nothing was edited", name)
		} else if _, err := readKTAP(bad); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
