package agent

import (
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// Init is what the first process runs. It does not return: when the server has
// ended, it powers the machine off.
func Init(console io.Writer) {
	fmt.Fprintln(console, Begun)
	if err := reap(); err != nil {
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
		Env:   environment,
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
	})
	if err != nil {
		return fmt.Errorf("start server: %w", err)
	}
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return os.NewSyscallError("wait4", err)
		case pid == server.Pid:
			return fmt.Errorf("server ended: %s", ending(status))
		}
	}
}

func ending(s unix.WaitStatus) string {
	if s.Signaled() {
		return "killed by " + unix.SignalName(syscall.Signal(s.Signal()))
	}
	return fmt.Sprintf("exit status %d", s.ExitStatus())
}

// environment is that of every process in the guest.
var environment = []string{
	"HOME=/",
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	"TERM=linux",
}
