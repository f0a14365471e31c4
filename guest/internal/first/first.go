// Package first is the first process of the guest: it starts the agent proper and
// reaps, and when that has ended it powers the machine off.
//
// All of it happens while the program is initialized, before what the agent proper
// is made of: the tables of the packet library alone fill 7 MB, which together
// with the rest took 0.4 s of CPU under emulation, for a process that needs none of
// it. Go initializes packages in the order of their import paths, each after what
// it imports ("Program initialization" in its specification). So this one comes
// early for as long as it imports nothing but the standard library, guest/observe
// and guest/internal/kmsg; a test of the program holds that.
package first

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"

	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// Prefix begins all lines of the agent on the console.
const Prefix = observe.AgentPrefix

// ServeCommand is the agent's subcommand that this process runs.
const ServeCommand = "serve"

func init() {
	if os.Getpid() == 1 {
		run(os.Stdout)
	}
}

// run does not return.
func run(console io.Writer) {
	fmt.Fprintln(console, observe.InitLine)
	if err := reap(); err != nil {
		tellLog(console)
		fmt.Fprintf(console, "%sinit: %v\n", Prefix, err)
	}
	if err := PowerOff(); err != nil {
		fmt.Fprintf(console, "%sinit: %v\n", Prefix, err)
	}
	// Not reached unless the kernel cannot even halt. Returning would make it
	// panic, which a host that reads the console takes for a crash.
	select {}
}

// reap starts the server and collects what ends until that does.
func reap() error {
	server, err := os.StartProcess(observe.AgentPath, []string{observe.AgentPath, ServeCommand}, &os.ProcAttr{
		Env:   Environment,
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
	})
	if err != nil {
		return fmt.Errorf("start server: %w", err)
	}
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return os.NewSyscallError("wait4", err)
		case pid == server.Pid:
			return fmt.Errorf("server ended: %s", ending(status))
		}
	}
}

func ending(s syscall.WaitStatus) string {
	if s.Signaled() {
		return fmt.Sprintf("killed by signal %d (%v)", s.Signal(), s.Signal())
	}
	return fmt.Sprintf("exit status %d", s.ExitStatus())
}

// Environment is that of every process in the guest.
var Environment = []string{
	"HOME=/",
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	"TERM=linux",
}

// PowerOff writes back what is not on disk yet and switches the machine off. It
// returns only if the kernel refuses.
func PowerOff() error {
	syscall.Sync()
	_, err := os.Stat("/sys/firmware/acpi")
	return os.NewSyscallError("reboot", syscall.Reboot(powerCommand(runtime.GOARCH, err == nil)))
}

// powerCommand chooses what ends QEMU. A PC that boots without ACPI has no power
// switch, and would halt for ever; but it can reset, upon which QEMU ends when
// it was started with -no-reboot.
func powerCommand(arch string, acpi bool) int {
	if arch == "amd64" && !acpi {
		return syscall.LINUX_REBOOT_CMD_RESTART
	}
	return syscall.LINUX_REBOOT_CMD_POWER_OFF
}
