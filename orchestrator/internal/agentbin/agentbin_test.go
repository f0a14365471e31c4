package agentbin

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestNoAgent(t *testing.T) {
	_, err := Agent("pdp11")
	if !errors.Is(err, ErrNone) || !strings.Contains(err.Error(), "make build") {
		t.Errorf("got %v, which does not say how to mend it", err)
	}
}

// The agent, where the build has put one, lists what the suite can do.
func TestListing(t *testing.T) {
	if _, err := Agent("amd64"); err != nil {
		t.Skip(err)
	}
	all, err := Listing(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(all.Probes) == 0 || len(all.Modules) == 0 {
		t.Errorf("%d probes, %d modules", len(all.Probes), len(all.Modules))
	}
	one, err := Listing(t.Context(), []string{all.Probes[0].Name})
	if err != nil || len(one.Probes) != 1 {
		t.Errorf("asked for %s: %v, %v", all.Probes[0].Name, one, err)
	}
	_, err = Listing(t.Context(), []string{"no/such"})
	if !errors.Is(err, ErrSelection) {
		t.Errorf("a glob that chooses nothing: %v", err)
	}
}

// A program runs from memory, wherever programs may not be run from.
func TestInMemory(t *testing.T) {
	echo, err := exec.LookPath("echo")
	if err != nil {
		t.Skip(err)
	}
	program, err := os.ReadFile(echo)
	if err != nil {
		t.Fatal(err)
	}
	f, err := inMemory(bytes.NewReader(program))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out, err := exec.Command(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), "hello").Output()
	if err != nil || string(out) != "hello\n" {
		t.Errorf("got %q, %v", out, err)
	}
}

func TestComplaint(t *testing.T) {
	ended := func(status int) error {
		return exec.Command("sh", "-c", fmt.Sprintf("exit %d", status)).Run()
	}
	for _, tt := range []struct {
		err       error
		said      string
		want      string
		selection bool
	}{
		{ended(2), "ctmatrix agent: no probe matches \"x\"\n", `no probe matches "x"`, true},
		{ended(2), "", "list probes: exit status 2", false},
		{ended(1), "two\nlines\x1b", `list probes: exit status 1: two\nlines\x1b`, false},
		{errors.New("no"), "words", "list probes: no: words", false},
	} {
		err := complaint(tt.err, tt.said)
		if err.Error() != tt.want || errors.Is(err, ErrSelection) != tt.selection {
			t.Errorf("%v and %q: got %v, want %s", tt.err, tt.said, err, tt.want)
		}
	}
}
