package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// traces are the probes of testdata/dirty in their order, and how each must be
// found out.
var traces = []struct{ probe, reason string }{
	{"entry", `^left behind: 1 conntrack entries$`},
	{"expectation", `^left behind: 1 conntrack entries; 1 expectations$`},
	{"nftables-table", `^left behind: nftables table inet stray$`},
	{"timeout-policy", `^left behind: ct timeout policy stray`},
	{"helper", `^left behind: ct helper stray`},
	{"sysctl", `^left behind: .*sysctl net\.ipv4\.ip_forward = 1, was 0$`},
	{"sysctl-of-tracking", `^left behind: sysctl net\.netfilter\.nf_conntrack_udp_timeout = 7, was 30$`},
	{"log-level", `^left behind: sysctl kernel\.printk = 7\t4\t1\t7, was 1\t4\t1\t7$`},
	{"parameter", `^left behind: sysctl net\.netfilter\.nf_conntrack_buckets = 1024, was \d+; module parameter nf_conntrack\.hashsize = 1024, was \d+$`},
	{"module-gone", `^left behind: module nft_redir is gone`},
	{"link", `^left behind: link stray`},
	{"link-down", `^left behind: link lo = .*, was up`},
	{"mtu", `^left behind: link lo = .* mtu 1234 .*, was .* mtu 65536`},
	{"address", `^left behind: address 203\.0\.113\.7/32 on link 1; route to 203\.0\.113\.7/32 .*$`},
	{"route", `^left behind: route to 203\.0\.113\.7/32 .* table 254$`},
	{"rule", `^left behind: routing rule of family 2, priority 7: .* mark 1, table 100$`},
	{"neighbour", `^left behind: neighbour 2001:db8::7 on link 1$`},
	{"file", `^left behind: open file \d+ \(/dev/net/tun\)`},
	{"listener", `^left behind: open file \d+ \(socket:.*\); 1 TCP sockets$`},
	{"namespace", `^left behind: open file \d+ \(socket:.*\); 1 child namespaces$`},
	{"time-wait", `^left behind: 1 TCP sockets in TIME_WAIT$`},
	{"thread", `^left behind: 1 threads in another network namespace \(still there: 1 threads in another network namespace\)$`},
}

// series are those of the shipped matrix: when the kernel lets go of things, and
// where it shows them, moved between them.
var series = []string{"debian:5.10", "debian:6.1", "debian:6.12", "debian:7.3"}

// TestRealTraces lets an agent that no user gets run probes that leave each kind
// of thing behind. Each must be broken and name it, and the clean probe after it
// must find nothing of it; where it cannot be undone, that one must say so.
func TestRealTraces(t *testing.T) {
	real(t)
	program := overlaid(t, map[string]string{"guest/internal/suite/dirty.go": "dirty/dirty.go"}, nil)
	out := t.TempDir()
	args := []string{"run", "--no-cache", "--out", out, "--probe", "dirty/*"}
	for _, k := range series {
		args = append(args, "--kernel", k)
	}
	printed, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput()
	t.Logf("%v\n%s", err, printed)
	r, err := results.Open(filepath.Join(out, results.LatestLink))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Cells) != len(series) {
		t.Fatalf("%d cells, want %d", len(r.Cells), len(series))
	}
	for _, cell := range r.Cells {
		t.Run(cell.Kernel.Label, func(t *testing.T) {
			if len(cell.Probes) != 2*len(traces) {
				t.Fatalf("%d probes, want %d", len(cell.Probes), 2*len(traces))
			}
			probes := map[string]results.Probe{}
			for _, p := range cell.Probes {
				probes[p.Name] = p
			}
			for _, want := range traces {
				name := "dirty/" + want.probe
				checkTrace(t, probes[name], probes[name+"-after"], name, want.reason)
			}
		})
	}
}

func checkTrace(t *testing.T, dirty, after results.Probe, name, reason string) {
	t.Helper()
	if dirty.Name != name || dirty.Outcome != observe.Broken || !regexp.MustCompile(reason).MatchString(dirty.Reason) {
		t.Errorf("%s is %s: %q\nwant %s broken: %s", dirty.Name, dirty.Outcome, dirty.Reason, name, reason)
	}
	if _, still, lasting := strings.Cut(dirty.Reason, " (still there: "); lasting {
		want := "not run: " + name + " left behind: " + strings.TrimSuffix(still, ")")
		if after.Outcome != observe.Broken || after.Reason != want {
			t.Errorf("%s after what cannot be undone is %s: %q\nwant %q", after.Name, after.Outcome, after.Reason, want)
		}
		return
	}
	if after.Outcome != observe.Recorded {
		t.Errorf("%s is %s: %s", after.Name, after.Outcome, after.Reason)
	}
}

// overlaid builds a ctmatrix with files of testdata laid over those of the tree: some
// over its agent's, and others over its own. Either may be nil.
func overlaid(t *testing.T, agents, hosts map[string]string) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	build := func(out, pkg string, files map[string]string) {
		overlay, err := json.Marshal(map[string]map[string]string{"Replace": files})
		if err != nil {
			t.Fatal(err)
		}
		overlayFile := out + ".json"
		if err := os.WriteFile(overlayFile, overlay, 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), "go", "build", "-overlay", overlayFile, "-o", out, pkg)
		cmd.Dir, cmd.WaitDelay = root, time.Second
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if b, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", cmd, err, b)
		}
	}
	under := func(files map[string]string) map[string]string {
		out := map[string]string{}
		for at, file := range files {
			out[filepath.Join(root, at)] = filepath.Join(root, "orchestrator/e2e/testdata", file)
		}
		return out
	}
	agent, program := filepath.Join(dir, "ctagent"), filepath.Join(dir, "ctmatrix")
	build(agent, "./guest/cmd/ctagent", under(agents))
	files := under(hosts)
	files[filepath.Join(root, "orchestrator/internal/agentbin/bin/ctagent-"+runtime.GOARCH)] = agent
	build(program, "./orchestrator/cmd/ctmatrix", files)
	return program
}
