package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/ctmatrix/ctmatrix/guest/internal/agent"
	"github.com/ctmatrix/ctmatrix/guest/internal/first"
	"github.com/ctmatrix/ctmatrix/guest/internal/suite"
	"github.com/ctmatrix/ctmatrix/guest/observe"
)

func TestWrongUsage(t *testing.T) {
	for _, args := range [][]string{
		nil, {"nonsense"}, {"version", "more"}, {"run", "more"}, {"list", "--nonsense"},
		{"run", "--probe"}, {"run", "--shuffle", "-1"}, {"run", "--shuffle", "x"}, {"run", "--clock", "sundial"},
		{observe.PowerOff, "now"}, {first.ServeCommand, "now"},
	} {
		var out bytes.Buffer
		err := run(args, &out)
		if err == nil || exitStatus(err) != 64 {
			t.Errorf("%q: %v, exit status %d; want 64", args, err, exitStatus(err))
			continue
		}
		if !strings.Contains(err.Error(), "usage: ctagent") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %q does not say in one line how to use it", args, err)
		}
		if out.Len() > 0 {
			t.Errorf("%q: wrote %q where records are read", args, out.String())
		}
	}
}

func TestExitStatus(t *testing.T) {
	if got := exitStatus(fmt.Errorf("run: %w", usage)); got != 64 {
		t.Errorf("wrapped wrong usage: %d", got)
	}
	if got := exitStatus(errors.New("broken")); got != 2 {
		t.Errorf("anything else: %d", got)
	}
}

func listing(t *testing.T, args ...string) observe.Listing {
	t.Helper()
	var out bytes.Buffer
	if err := run(append([]string{"list"}, args...), &out); err != nil {
		t.Fatal(err)
	}
	var l observe.Listing
	if err := json.Unmarshal(out.Bytes(), &l); err != nil {
		t.Fatal(err)
	}
	return l
}

func TestList(t *testing.T) {
	all := listing(t)
	if len(all.Probes) < len(suite.All()) { // a probe may have several cases
		t.Errorf("%d cases listed of the %d probes in the suite", len(all.Probes), len(suite.All()))
	}
	if !slices.IsSorted(all.Modules) || len(slices.Compact(slices.Clone(all.Modules))) != len(all.Modules) {
		t.Errorf("modules are not sorted, each once: %q", all.Modules)
	}
	for _, m := range agent.Modules {
		if !slices.Contains(all.Modules, m) {
			t.Errorf("the agent's own module %s is not there", m)
		}
	}
	some := listing(t, "--probe", "baseline/*")
	if len(some.Probes) == 0 || len(some.Probes) >= len(all.Probes) {
		t.Errorf("%d of %d probes chosen", len(some.Probes), len(all.Probes))
	}
	for _, p := range some.Probes {
		if !strings.HasPrefix(p.Name, "baseline/") {
			t.Errorf("%+v is no probe of the family that was asked for", p)
		}
	}
	// Every image must bring up the port, whatever probes it is for.
	for _, m := range agent.Modules {
		if !slices.Contains(some.Modules, m) {
			t.Errorf("without all probes, the agent's own module %s is not there", m)
		}
	}
	if !reflect.DeepEqual(all, listing(t, "--probe", "*")) {
		t.Error("the glob of everything lists something else than everything")
	}
}

// The host tells a glob that chooses nothing from wrong usage by the status.
func TestListNothing(t *testing.T) {
	var out bytes.Buffer
	err := run([]string{"list", "--probe", "no-such/*"}, &out)
	if err == nil || exitStatus(err) != 2 || !strings.Contains(err.Error(), "no-such/*") || out.Len() > 0 {
		t.Errorf("%v, exit status %d, wrote %q", err, exitStatus(err), out.String())
	}
}

func TestVersion(t *testing.T) {
	var out bytes.Buffer
	if err := run([]string{"version"}, &out); err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("record stream %d\n", observe.Protocol); !strings.HasPrefix(out.String(), "ctagent ") || !strings.HasSuffix(out.String(), want) {
		t.Errorf("%q, want one line that ends in %q", out.String(), want)
	}
}

func TestRunOptions(t *testing.T) {
	got, err := runOptions([]string{"--probe", "a", "--shuffle", "18446744073709551615", "--probe=b/*", "--clock", "host", "--capture"})
	want := suite.Options{Patterns: []string{"a", "b/*"}, Shuffle: true, Seed: 1<<64 - 1, HostClock: true, Capture: true}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
}

// The first process must not wait for what it does not need to be initialized.
func TestFirstIsInitializedFirst(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	at := func(pkg string) int { return strings.Index(string(out), "init "+pkg+" @") }
	const ours = "github.com/ctmatrix/ctmatrix/guest/"
	mine := at(ours + "internal/first")
	for _, pkg := range []string{"github.com/google/gopacket/layers", ours + "internal/suite", "golang.org/x/crypto/ssh"} {
		if mine < 0 || at(pkg) < mine {
			t.Errorf("%s is initialized at %d of the trace, before the first process runs at %d", pkg, at(pkg), mine)
		}
	}
}
