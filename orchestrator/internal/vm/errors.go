package vm

import (
	"errors"
	"fmt"
)

// ErrNoQEMU says that the program is not there, and how to get it.
var ErrNoQEMU = errors.New("QEMU is not installed: install the package qemu-system-x86 (Debian, Ubuntu) or name another program with --qemu")

// ErrSilent says that nothing came from the guest at all.
var ErrSilent = errors.New("the guest printed nothing")

// ErrExited says that QEMU ended before what was waited for.
var ErrExited = errors.New("the guest ended")

// ErrInit says that the guest's first process ended, which is ours, and took the
// kernel along.
var ErrInit = errors.New("init in the guest died, or could not be started")

// ErrNoInitramfs says that the kernel looked for a root file system elsewhere.
var ErrNoInitramfs = errors.New("the kernel did not take its initramfs: is it built without CONFIG_BLK_DEV_INITRD?")

// ErrMemory says that the guest's memory did not suffice to run anything.
var ErrMemory = errors.New("the guest has too little memory")

// TooOldError says that a QEMU lacks what guests need.
type TooOldError struct {
	Program string
	Version string
}

func (e *TooOldError) Error() string {
	return fmt.Sprintf("%s is version %s: install QEMU %s or newer, or name another program with --qemu", e.Program, e.Version, MinVersion)
}

// GuestError is the fault of the kernel under test: it announced its own end,
// or came up and then did not go on. What it did is a result.
type GuestError struct {
	Line    string   // with which the kernel announced its end, or ""
	Err     error    // what was waited for in vain
	Console []string // the last lines
}

func (e *GuestError) Error() string {
	if e.Line != "" {
		return "the kernel died: " + e.Line
	}
	return "the guest hangs: " + e.Err.Error()
}

// Unwrap returns what was waited for in vain.
func (e *GuestError) Unwrap() error { return e.Err }

// RigError is the fault of what runs the kernel: QEMU, its arguments, the host,
// or the agent that is init in the guest. It says nothing about the kernel.
type RigError struct {
	Err     error
	Console []string // the last lines
}

func (e *RigError) Error() string { return e.Err.Error() }

// Unwrap returns what went wrong.
func (e *RigError) Unwrap() error { return e.Err }
