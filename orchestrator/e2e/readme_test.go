package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/shlex"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/cli"
)

// readme returns the lines of README.md.
func readme(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(b), "\n")
}

// TestReadmeCommands holds the README's command lines to commands and flags that
// exist: each is understood as far as its help.
func TestReadmeCommands(t *testing.T) {
	found := 0
	for _, line := range readme(t) {
		command, ok := strings.CutPrefix(line, "bin/ctmatrix ")
		if !ok {
			continue
		}
		found++
		args, err := shlex.Split(command)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		at := slices.Index(args, "--") // behind it is a guest's command
		if at < 0 {
			at = len(args)
		}
		var stdout, stderr bytes.Buffer
		if status := cli.Main(context.Background(), slices.Insert(args, at, "--help"), &stdout, &stderr); status != cli.ExitSame {
			t.Errorf("%s: exit status %d: %s", line, status, &stderr)
		}
		// Of an unknown command cobra shows the root's help.
		if words := strings.Fields(command); !strings.Contains(stdout.String(), "ctmatrix "+words[0]) {
			t.Errorf("%s: no such command", line)
		}
	}
	if found < 5 {
		t.Errorf("%d command lines in the README, there should be more", found)
	}
}

// rowName is how a row is written where it is shown in full.
var rowName = regexp.MustCompile(`^[a-z-]+/[a-z0-9@-]+/[a-z0-9+-]+\.[a-z0-9_+-]+$`)

// TestReadmeExample holds the rows of the README's examples to rows that exist.
func TestReadmeExample(t *testing.T) {
	names := rowNames(t)
	rows, example := 0, false
	for _, line := range readme(t) {
		switch {
		case strings.HasPrefix(line, "```"):
			example = line == "```console"
		case example:
			for _, word := range strings.Fields(line) {
				if !rowName.MatchString(word) {
					continue
				}
				rows++
				if !slices.Contains(names, word) {
					t.Errorf("the README shows row %s, which no probe records", word)
				}
			}
		}
	}
	if rows < 5 {
		t.Errorf("the README shows %d rows, there should be more", rows)
	}
}

// familyLine is a family in the README's table of what is asked.
var familyLine = regexp.MustCompile("^\\| `([a-z-]+)` \\| ([0-9]+) \\| ([0-9]+) \\|")

// TestReadmeFamilies holds the README's table to the suite: every family is there,
// with as many probes and rows as it has.
func TestReadmeFamilies(t *testing.T) {
	probes, rows := map[string]map[string]bool{}, map[string]int{}
	for _, name := range rowNames(t) {
		family, _, _ := strings.Cut(name, "/")
		if probes[family] == nil {
			probes[family] = map[string]bool{}
		}
		probes[family][path.Dir(name)] = true
		rows[family]++
	}
	for _, line := range readme(t) {
		m := familyLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		if want := fmt.Sprintf("%d | %d", len(probes[m[1]]), rows[m[1]]); m[2]+" | "+m[3] != want {
			t.Errorf("the README says %s | %s of %s, which has %s", m[2], m[3], m[1], want)
		}
		delete(rows, m[1])
	}
	for family := range rows {
		t.Errorf("the README's table lacks %s", family)
	}
}
