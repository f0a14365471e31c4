package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/images/kernel/store"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/cli"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// stored is the directory of a kernel of a series in the cache, and its release.
func stored(t *testing.T, series string) (dir, release string) {
	t.Helper()
	cache, err := store.DefaultDir()
	if env := os.Getenv("CTMATRIX_CACHE"); env != "" {
		cache, err = env, nil
	}
	if err != nil {
		t.Fatal(err)
	}
	manifests, err := filepath.Glob(filepath.Join(cache, "kernels", "*", "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range manifests {
		text, err := os.ReadFile(m)
		if err != nil {
			t.Fatal(err)
		}
		var of struct {
			Meta struct{ Series, Release, Flavour string }
		}
		if err := json.Unmarshal(text, &of); err != nil {
			t.Fatal(err)
		}
		if of.Meta.Series == series && of.Meta.Flavour == "cloud" {
			return filepath.Dir(m), of.Meta.Release
		}
	}
	t.Fatalf("no kernel of %s is stored", series)
	return "", ""
}

// odd makes a kernel for dir: of one of 6.1, where virtio is modular, whose files it
// changes.
func odd(t *testing.T, change func(dir, release string) error) string {
	t.Helper()
	from, release := stored(t, "6.1")
	dir := t.TempDir()
	err := os.CopyFS(filepath.Join(dir, "lib", "modules", release), os.DirFS(filepath.Join(from, "modules")))
	if err == nil {
		err = os.Symlink(filepath.Join(from, "vmlinuz"), filepath.Join(dir, "vmlinuz-"+release))
	}
	if err == nil {
		err = change(dir, release)
	}
	if err != nil {
		t.Fatal(err)
	}
	return "dir:" + dir
}

// without removes the modules whose names begin so.
func without(prefix string) func(dir, release string) error {
	return func(dir, _ string) error {
		return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err == nil && strings.HasPrefix(e.Name(), prefix) && strings.Contains(e.Name(), ".ko") {
				return os.Remove(path)
			}
			return err
		})
	}
}

// forARM puts the first bytes of an arm64 image where the image was.
func forARM(dir, release string) error {
	image := make([]byte, 1<<20)
	copy(image, "MZ")
	copy(image[0x38:], "ARM\x64")
	path := filepath.Join(dir, "vmlinuz-"+release)
	if err := os.Remove(path); err != nil {
		return err
	}
	return os.WriteFile(path, image, 0o600)
}

// wrapped is a program that is QEMU but for what a shell does before.
func wrapped(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "qemu")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"exec qemu-system-x86_64 \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// dark takes a guest's initramfs away from it, flooded has its console flooded
// before it boots.
const (
	dark    = `n=$#; while [ $n -gt 0 ]; do a=$1; shift; n=$((n-1)); if [ "$a" = -initrd ]; then shift; n=$((n-1)); else set -- "$@" "$a"; fi; done` + "\n"
	flooded = `case "$*" in *-kernel*) yes 'flooded, and flooded again' | head -c 104857600;; esac` + "\n"
)

// ran runs ctmatrix, in this process, and returns its cells by their kernels.
func ran(t *testing.T, args ...string) []results.CellRows {
	t.Helper()
	out := t.TempDir()
	args = append(args, "run", "--no-cache", "--jobs", "2", "--out", out, "--probe", harmless)
	var stdout, stderr bytes.Buffer
	status := cli.Main(t.Context(), args, &stdout, &stderr)
	t.Logf("ctmatrix %q: exit status %d\n%s%s", args, status, &stdout, &stderr)
	r, err := results.Open(filepath.Join(out, results.LatestLink))
	if err != nil {
		t.Fatal(err)
	}
	return r.Cells
}

// TestRealOddKernels boots what cannot work, or not as a whole: each says why.
func TestRealOddKernels(t *testing.T) {
	real(t)
	config := filepath.Join(t.TempDir(), "matrix.yaml")
	if err := os.WriteFile(config, []byte("guest: {clock: host}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cells := ran(t, "--config", config, "--kernel", odd(t, forARM), "--kernel", odd(t, without("virtio")), "--kernel", odd(t, without("nf_conntrack.")))
	for i, want := range []struct {
		outcome results.CellOutcome
		reason  string
	}{
		{results.CellFailed, `^start a guest: the kernel is one for arm64: guests are x86-64$`},
		{results.CellFailed, `^the agent ended while it booted: .*this kernel has no virtio_console, built in or as a module, through which it could be spoken to; `},
		{results.CellOK, `^$`},
	} {
		if c := cells[i]; c.Outcome != want.outcome || !regexp.MustCompile(want.reason).MatchString(c.Reason) {
			t.Errorf("%s is %s: %s\nwant %s: %s", c.Kernel.Ref, c.Outcome, c.Reason, want.outcome, want.reason)
		}
	}
	for _, p := range cells[2].Probes {
		if p.Outcome != observe.Unsupported || !strings.HasPrefix(p.Reason, "nf_conntrack: no such module in ") {
			t.Errorf("without conntrack, %s is %s: %s", p.Name, p.Outcome, p.Reason)
		}
	}
	c := ran(t, "--config", config, "--qemu", wrapped(t, dark), "--kernel", "debian:6.1")[0]
	if want := "while it booted: the kernel did not take its initramfs: is it built without CONFIG_BLK_DEV_INITRD?: "; c.Outcome != results.CellFailed || !strings.HasPrefix(c.Reason, want) {
		t.Errorf("without an initramfs the cell is %s: %s", c.Outcome, c.Reason)
	}
}

// TestRealFlood has 100 MB come from a console: all is read, some is kept, and no
// row is another for it.
func TestRealFlood(t *testing.T) {
	real(t)
	out := t.TempDir()
	plain := only(t, out, "--no-cache", "--kernel", "debian:6.1", "--probe", harmless)
	loud := only(t, out, "--no-cache", "--cold", "--qemu", wrapped(t, flooded), "--kernel", "debian:6.1", "--probe", harmless)
	if diff := cmp.Diff(plain.Rows, loud.Rows); diff != "" || len(loud.Rows) == 0 {
		t.Errorf("rows (-quiet +flooded):\n%s", diff)
	}
	info, err := os.Stat(filepath.Join(out, results.LatestLink, loud.Dir, results.ConsoleFile))
	if err != nil || info.Size() < 16<<20 || info.Size() > 17<<20 {
		t.Errorf("the console's file: %v, %v", info, err)
	}
}

// TestRealKilledQEMU looks what a guest's QEMU may do, and kills it. The probe it was
// killed in is asked once more.
func TestRealKilledQEMU(t *testing.T) {
	real(t)
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var printed bytes.Buffer
	cmd := exec.CommandContext(ctx, program, "run", "--out", out, "--no-cache", "--kernel", "debian:6.1", "--probe", "loose")
	cmd.Env = append(os.Environ(), asProgram+"=1")
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &printed, &printed, 10*time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := 0
	for ctx.Err() == nil && (pid == 0 || !hasRows(out, "")) {
		pid = childOf(cmd.Process.Pid, "-incoming")
		time.Sleep(time.Millisecond)
	}
	confined(t, pid)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, &printed)
	}
	c := latest(t, out)
	if c.Outcome != results.CellOK || len(c.Warnings) != 1 || !regexp.MustCompile(`^QEMU ended (during|after) loose/.*: QEMU: signal: killed: `).MatchString(c.Warnings[0]) {
		t.Errorf("the cell is %s: %s, with warnings %q", c.Outcome, c.Reason, c.Warnings)
	}
	for _, p := range c.Probes {
		if p.Outcome != observe.Recorded {
			t.Errorf("%s is %s: %s", p.Name, p.Outcome, p.Reason)
		}
	}
}

// childOf is a process whose parent is pid and in whose command line is word; 0 where
// there is none.
func childOf(pid int, word string) int {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // fails only on a bad pattern
	for _, s := range stats {
		text, err := os.ReadFile(s)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		fields := strings.Fields(rest)
		line, err := os.ReadFile(filepath.Join(filepath.Dir(s), "cmdline"))
		if err != nil || len(fields) < 2 || fields[1] != strconv.Itoa(pid) || !bytes.Contains(line, []byte(word)) {
			continue
		}
		if child, err := strconv.Atoi(filepath.Base(filepath.Dir(s))); err == nil {
			return child
		}
	}
	return 0
}

// confined holds a guest's QEMU to what it may have: all of its threads have filters
// for system calls, and neither have privileges nor can gain any, no socket of it is one of a network, and
// no file is the host's but the guest's own.
func confined(t *testing.T, pid int) {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(tasks) == 0 {
		t.Fatalf("QEMU has %d threads, %v", len(tasks), err)
	}
	for _, task := range tasks {
		status, err := os.ReadFile(task)
		if err != nil {
			t.Error(err)
		}
		for _, want := range []string{"\nSeccomp:\t2\n", "\nNoNewPrivs:\t1\n", "\nCapEff:\t0000000000000000\n", "\nCapPrm:\t0000000000000000\n", "\nCapBnd:\t" + bounding(t)} {
			if !strings.Contains(string(status), want) {
				t.Errorf("%s lacks %q", task, want)
			}
		}
	}
	// Of its own network namespace's sockets, which are the host's, it has none.
	for _, proto := range []string{"tcp", "tcp6", "udp", "udp6", "packet", "raw"} {
		table, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, proto))
		if err != nil {
			continue // this host has no such protocol
		}
		for _, inode := range socketsOf(t, pid) {
			if regexp.MustCompile(`(?m) ` + inode + `( |$)`).Match(table) {
				t.Errorf("QEMU has socket %s of %s", inode, proto)
			}
		}
	}
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil || len(fds) == 0 {
		t.Errorf("QEMU has %d files, %v", len(fds), err)
	}
	own := regexp.MustCompile(`^(socket:|pipe:|anon_inode:|/memfd:|/dev/null$|.*/guests/kernels/[0-9a-f]{64}/ram$)`)
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && !own.MatchString(to) {
			t.Errorf("QEMU has %s open", to)
		}
	}
}

// bounding begins the capabilities that a program may come to: none where we are root
// and can say so, and else as many as we may.
func bounding(t *testing.T) string {
	t.Helper()
	if os.Geteuid() == 0 {
		return "0000000000000000"
	}
	return ""
}

// socketsOf are the inodes of a process's sockets.
func socketsOf(t *testing.T, pid int) []string {
	t.Helper()
	var inodes []string
	fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid)) // fails only on a bad pattern
	for _, fd := range fds {
		to, err := os.Readlink(fd)
		if inode, ok := strings.CutPrefix(to, "socket:["); err == nil && ok {
			inodes = append(inodes, strings.TrimSuffix(inode, "]"))
		}
	}
	if len(inodes) == 0 {
		t.Error("QEMU has no socket, not even ours")
	}
	return inodes
}
