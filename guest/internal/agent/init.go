package agent

import (
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// Init is what the first process runs. It does not return: when the server has
// ended, it powers the machine off.
func Init(console io.Writer) {
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

// mostTold bounds the lines of the kernel's log that are told when the server ended.
const mostTold = 40

// warning is the least of a log's levels that is told: the others are not about what
// went wrong.
const warning = 4

// tellLog prints what the kernel last complained of, which the console may have been
// told not to show: that it killed the server for want of memory, say.
func tellLog(console io.Writer) {
	log, err := lab.OpenLog()
	if err != nil {
		fmt.Fprintf(console, "%sinit: %v\n", Prefix, err)
		return
	}
	defer log.Close() // only read
	lines, err := log.Take()
	if err != nil {
		fmt.Fprintf(console, "%sinit: %v\n", Prefix, err)
	}
	lines = slices.DeleteFunc(lines, func(l observe.Log) bool { return l.Level > warning })
	for _, l := range lines[max(0, len(lines)-mostTold):] {
		fmt.Fprintf(console, "[%12.6f] %s\n", float64(l.AtUS)/1e6, observe.Escape(l.Text))
	}
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
