package cli

import (
	"context"
	"errors"
	"flag"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/images/kernel/kerneltest"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/agentbin"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"ctmatrix": func() { os.Exit(Main(context.Background(), os.Args[1:], os.Stdout, os.Stderr)) },
	})
}

var update = flag.Bool("update", false, "write what the commands print into the scripts' files")

// TestScripts runs the command line as users do. Each script has a mirror of its
// own, at $MIRROR and signed with $KEYRING, and can do to it what the commands
// mirror-… say.
func TestScripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, script := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(script), ".txtar"), func(t *testing.T) { runScript(t, script) })
	}
}

func runScript(t *testing.T, script string) {
	mirror := newMirror(t)
	part := func(do func(string)) func(*testscript.TestScript, bool, []string) {
		return func(ts *testscript.TestScript, neg bool, args []string) {
			if neg || len(args) != 1 {
				ts.Fatalf("usage: mirror-… ARG")
			}
			do(args[0])
		}
	}
	testscript.Run(t, testscript.Params{
		Files:         []string{script},
		UpdateScripts: *update,
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("NO_COLOR", "1")
			env.Setenv("MIRROR", mirror.URL)
			env.Setenv("KEYRING", mirror.Keyring)
			env.Setenv("CTMATRIX_CACHE", filepath.Join(env.WorkDir, "cache"))
			env.Setenv("CTMATRIX_MIRROR", mirror.URL)
			env.Setenv("CTMATRIX_KEYRING", mirror.Keyring)
			env.Setenv("CTMATRIX_SUITES", "bookworm,trixie-backports")
			return nil
		},
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "agent":
				_, err := agentbin.Agent("amd64")
				return err == nil, nil
			case "mount":
				return mayMount(), nil
			}
			return false, errors.New("unknown condition " + cond)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"damage":           damage,
			"mirror-corrupt":   part(mirror.Corrupt),
			"mirror-cut-off":   part(mirror.CutOff),
			"mirror-large":     part(func(version string) { addLarge(mirror, version) }),
			"mirror-remove":    part(mirror.Remove),
			"mirror-wrong-key": part(mirror.SignWrongly),
			"status":           status,
			"make-run":         makeRun,
			"make-repeats":     makeRepeats,
			"make-packets":     makePackets,
			"keep-cells":       keepCells,
			"busy":             busy,
		},
	})
}

// newMirror offers two kernels, one of them in two flavours, and one that no signed index names in full.
func newMirror(t *testing.T) *kerneltest.Mirror {
	m := kerneltest.NewMirror(t)
	modules := kerneltest.DefaultModules()
	modules["kernel/net/netfilter/nf_nat.ko"] = "nf_nat"
	m.Add("bookworm", kerneltest.Kernel{
		Version: "6.1.176-1", Release: "6.1.0-50-cloud-amd64", Modules: modules,
		Config: "CONFIG_NET=y\nCONFIG_NF_CT_PROTO_DCCP=y\nCONFIG_NF_NAT=m\nCONFIG_NETFILTER_NETLINK=m\n# CONFIG_NF_OSF is not set\n",
	})
	m.Add("bookworm", kerneltest.Kernel{
		Version: "6.1.192-2", Release: "6.1.0-56-cloud-amd64", Meta: true,
		Config: "CONFIG_NETFILTER_NETLINK=y\n# CONFIG_NF_NAT is not set\nCONFIG_NF_FLOW_TABLE=m\n",
	})
	m.Add("bookworm", kerneltest.Kernel{Version: "6.1.192-2", Release: "6.1.0-56-rt-amd64"})
	m.Add("trixie-backports", kerneltest.Kernel{
		Version: "7.1.13-1~bpo13+1", Release: "7.1.13+deb13-cloud-amd64", Layout: kerneltest.Split, Unlisted: []string{"modules"},
	})
	return m
}

// addLarge offers a kernel of 3 MB in a package as large, and as "VERSION0" one of
// 30 MB in a package of some kB.
func addLarge(m *kerneltest.Mirror, version string) {
	noise := make([]byte, 3<<20)
	rand.NewChaCha8([32]byte{}).Read(noise) // never fails
	for v, image := range map[string]string{version: string(noise), version + "0": strings.Repeat("zero", 8<<20)} {
		m.Add("bookworm", kerneltest.Kernel{Version: v, Release: v + "-cloud-amd64", Image: image})
	}
}

// mayMount reports whether a test may mount a tmpfs, in name spaces of its own.
// Root always may, and where it may not the test fails.
func mayMount() bool {
	return os.Geteuid() == 0 || exec.Command("unshare", "-rm", "mount", "-t", "tmpfs", "none", "/tmp").Run() == nil
}

// damage changes a byte of a stored kernel's file, whose size stays, or cuts it
// off: damage RELEASE FILE, damage RELEASE FILE cut.
func damage(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: damage RELEASE FILE [cut]")
	}
	manifests, err := filepath.Glob(ts.MkAbs("cache/kernels/*/manifest.json"))
	ts.Check(err)
	done := 0
	for _, m := range manifests {
		if !strings.Contains(ts.ReadFile(m), `"release":"`+args[0]+`"`) {
			continue
		}
		name := filepath.Join(filepath.Dir(m), args[1])
		data := []byte(ts.ReadFile(name))
		data[0] ^= 1
		if len(args) > 2 {
			data = data[1:]
		}
		ts.Check(os.WriteFile(name, data, 0o600))
		done++
	}
	if done != 1 {
		ts.Fatalf("%d kernels are stored as %s", done, args[0])
	}
}

// status runs ctmatrix and holds it to an exit status: exec alone knows only
// success and failure.
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N COMMAND...")
	}
	err := ts.Exec("sh", append([]string{"-c", `want=$1; shift; "$@"; got=$?; [ $got -eq $want ] || { echo "exit status $got" >&2; exit 1; }`, "sh"}, args...)...)
	if err != nil {
		ts.Fatalf("want status %s: %v", args[0], err)
	}
}

// makeRun writes a run directory with one kernel and one row: make-run DIR
// VERSION VALUE, or make-run DIR VERSION crashed.
func makeRun(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: make-run DIR VERSION VALUE")
	}
	ts.Check(writeRun(ts.MkAbs(args[0]), args[1], "virtual", false, args[2:]))
}

// makeRepeats is makeRun of a kernel that ran several times on a clock:
// make-repeats DIR VERSION CLOCK VALUE...
func makeRepeats(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 4 {
		ts.Fatalf("usage: make-repeats DIR VERSION CLOCK VALUE...")
	}
	ts.Check(writeRun(ts.MkAbs(args[0]), args[1], args[2], true, args[3:]))
}

// writeRun writes a run directory with a cell for each value, all of one kernel.
// Its second probe depends on the clock, which it tells.
func writeRun(dir, version, clock string, repeat bool, values []string) error {
	k := results.Kernel{Ref: "debian:" + version, Label: version, Release: version + "-cloud-amd64", Version: version, Series: "6.1", Arch: "amd64", Source: "debian"}
	plan := results.Plan{
		Tool: "test", Started: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC),
		Selection: results.Selection{Kernels: []string{k.Ref}, Probes: []string{"*"}, Variants: []string{"default"}},
		Probes: []observe.Head{
			{Name: "table-full/syn", Question: "What becomes of ten SYNs when the table takes seven?", Path: "forward", Source: "by hand"},
			{Name: "timeouts/tcp", Question: "When does an entry go?", Path: "forward", Source: "by hand", Timed: true},
		},
	}
	for i := range values {
		planned := results.Planned{Kernel: k, Variant: "default"}
		if repeat {
			planned.Repeat = i + 1
		}
		plan.Cells = append(plan.Cells, planned)
	}
	w, err := results.Create(filepath.Dir(dir), filepath.Base(dir), plan)
	if err != nil {
		return err
	}
	k.Digest = "digest of " + version
	for i, value := range values {
		cell := results.Cell{
			ID: "id", Kernel: k, Variant: "default", Repeat: plan.Cells[i].Repeat, Outcome: results.CellOK,
			Guest: results.Guest{QEMU: "7.2", Clock: clock, Agent: "agent"},
		}
		rows := []observe.Row{
			{Name: "table-full/syn/raw.packets", Kind: observe.Count, Value: value},
			{Name: "timeouts/tcp/gone.clock", Kind: observe.Text, Value: clock},
		}
		first := results.Probe{Name: "table-full/syn", Outcome: observe.Recorded, Rows: 1}
		if value == "crashed" {
			cell.Outcome, cell.Reason = results.CellCrashed, "the kernel died during table-full/syn: Oops"
			first.Outcome, first.Reason, first.Rows, rows = observe.Crashed, cell.Reason, 0, rows[1:]
		}
		cell.Probes = []results.Probe{first, {Name: "timeouts/tcp", Outcome: observe.Recorded, Rows: 1}}
		if err := w.Put(i, cell, rows); err != nil {
			return err
		}
	}
	return errors.Join(w.Finish(plan.Started.Add(time.Minute)), w.Close())
}
