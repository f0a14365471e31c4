package lab

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// Errno is a system call's error that travels between processes: 0 is success.
type Errno int

// Err is the error again.
func (e Errno) Err() error {
	if e == 0 {
		return nil
	}
	return unix.Errno(e)
}

// SysctlAnswer is what a sysctl did in another namespace.
type SysctlAnswer struct {
	Value       string
	Read, Write Errno
}

// SysctlCommand is the agent's subcommand that SysctlMain implements.
const SysctlCommand = "sysctl"

// ErrNoUserNamespaces: the kernel is built without USER_NS.
var ErrNoUserNamespaces = errors.New("kernel has no user namespaces")

// UserNamespaceSysctl reads a sysctl, then writes value to it, as root of a new
// user namespace that owns a new network namespace.
func UserNamespaceSysctl(name, value string) (SysctlAnswer, error) {
	answers, err := inUserNamespace(name, value)
	if err != nil {
		return SysctlAnswer{}, err
	}
	return answers[0], nil
}

// UserNamespaceSysctls reads each sysctl as root of such a namespace, then writes
// what it read.
func UserNamespaceSysctls(names []string) ([]SysctlAnswer, error) {
	var args []string
	for _, name := range names {
		args = append(args, name, asRead)
	}
	return inUserNamespace(args...)
}

// asRead stands for the value that a sysctl has.
const asRead = "(as read)"

// inUserNamespace has SysctlMain run in new namespaces. That takes a process of
// its own: a program with several threads cannot change its user namespace.
func inUserNamespace(args ...string) ([]SysctlAnswer, error) {
	if _, err := os.Lstat("/proc/self/ns/user"); errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoUserNamespaces
	}
	cmd := exec.Command("/proc/self/exe", append([]string{SysctlCommand}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: nobody, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: nobody, Size: 1}},
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("run in a user namespace: %w: %s", err, errs.String())
	}
	// Its namespace is put away in the background like any other, but nobody here
	// can watch it. The kernel does so one after the other, so that a later one of
	// ours, which is waited for, goes after it.
	if err := InChild(func() error { return nil }); err != nil {
		return nil, err
	}
	var answers []SysctlAnswer
	if err := json.Unmarshal(out.Bytes(), &answers); err != nil {
		return nil, fmt.Errorf("understand answer from the user namespace: %w", err)
	}
	if len(answers) != len(args)/2 {
		return nil, fmt.Errorf("%d answers from the user namespace, want %d", len(answers), len(args)/2)
	}
	return answers, nil
}

// nobody is the user that the namespace's root is outside.
const nobody = 65534

// SysctlMain is the other side: it runs in the new namespaces. Its arguments are
// names and values.
func SysctlMain(args []string, out io.Writer) error {
	if len(args) == 0 || len(args)%2 != 0 {
		return errors.New("usage: " + SysctlCommand + " NAME VALUE…")
	}
	var answers []SysctlAnswer
	for i := 0; i < len(args); i += 2 {
		value, readErr := ReadSysctl(args[i])
		write := args[i+1]
		if write == asRead {
			write = value
		}
		answers = append(answers, SysctlAnswer{Value: value, Read: errnoOf(readErr), Write: errnoOf(WriteSysctl(args[i], write))})
	}
	return json.NewEncoder(out).Encode(answers)
}

func errnoOf(err error) Errno {
	var errno unix.Errno
	switch {
	case err == nil:
		return 0
	case errors.As(err, &errno):
		return Errno(errno)
	}
	return Errno(unix.EIO)
}
