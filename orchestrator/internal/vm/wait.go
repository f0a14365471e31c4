package vm

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"
)

// politeness is how long QEMU may take to end when told to.
const politeness = 2 * time.Second

// end ends QEMU: in order, and by force if that takes too long. It returns when
// the process is gone.
func (v *VM) end() {
	if err := v.qmp.run(time.Now().Add(politeness/2), "quit", nil); err != nil {
		// It is gone, or hangs, or ended before it answered.
		_ = v.cmd.Process.Signal(syscall.SIGTERM) // fails only if it is gone
	}
	timer := time.NewTimer(politeness)
	defer timer.Stop()
	select {
	case <-v.gone:
	case <-timer.C:
		_ = v.cmd.Process.Kill() // fails only if it is gone
		<-v.gone
	}
}

// Stop ends QEMU, in order and then by SIGKILL, and returns when it is gone,
// after three seconds at the latest. It is the guest's caller who gives it the
// chance to power off before. Stop may be called at any time and again.
func (v *VM) Stop() {
	if v.cmd == nil || v.cmd.Process == nil {
		v.closeFiles() // was not started
		return
	}
	v.end()
	<-v.exited
}

// Wait waits until QEMU has exited or ctx ends, which leaves QEMU as it is. A
// guest that powered off is no error. A *GuestError is the kernel's end, a
// *RigError any other.
func (v *VM) Wait(ctx context.Context) error {
	select {
	case <-v.exited:
		return v.verdict(nil)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// verdict says whose fault the end was. Missed is what was waited for, if it
// did not come.
func (v *VM) verdict(missed error) error {
	return judge(v.tail.fate(), v.exitError(), missed, v.Tail())
}

func judge(death *Alarm, exit, missed error, console []string) error {
	err := errors.Join(missed, exit)
	switch {
	case death != nil && death.Image:
		return &RigError{fmt.Errorf("%w: %s", ErrInit, death.Line), console}
	case death != nil:
		return &GuestError{death.Line, err, console}
	case missed != nil && exit != nil:
		return &RigError{fmt.Errorf("%w: %w", missed, exit), console}
	case err != nil:
		return &RigError{err, console}
	}
	return nil
}

// exitError is how QEMU ended, with what it said.
func (v *VM) exitError() error {
	if v.err == nil {
		return nil
	}
	if text := strings.TrimSpace(v.errText.String()); text != "" {
		return fmt.Errorf("QEMU: %w: %s", v.err, strings.ReplaceAll(text, "\n", "; "))
	}
	return fmt.Errorf("QEMU: %w", v.err)
}

// deathTime is how long a kernel may take to end QEMU after it announced its
// own end: it has a register dump to print.
const deathTime = 5 * time.Second

// WaitLine waits until the console shows a line that contains text. Until then
// the guest must never be silent for as long as silence. What keeps the line
// from coming is a *GuestError or a *RigError; that nothing at all was printed
// is the rig's fault, and ErrSilent.
func (v *VM) WaitLine(ctx context.Context, text string, silence time.Duration) error {
	began := time.Now()
	found, forget := v.tail.watch(text)
	defer forget()
	timer := time.NewTimer(silence)
	defer timer.Stop()
	died := (<-chan struct{})(v.tail.died)
	for {
		select {
		case <-found:
			return nil
		case <-died:
			died = nil
			silence = deathTime
			timer.Reset(silence)
		case <-timer.C:
			idle, spoke := v.tail.quiet(began)
			if idle < silence {
				timer.Reset(silence - idle)
				continue
			}
			return v.silent(ctx, text, silence, spoke)
		case <-v.exited:
			select {
			case <-found:
				return nil
			default:
				return v.verdict(ErrExited)
			}
		case <-ctx.Done():
			return fmt.Errorf("wait for %q on the console: %w", text, ctx.Err())
		}
	}
}

// silent is the error of a guest that stopped printing.
func (v *VM) silent(ctx context.Context, text string, silence time.Duration, spoke bool) error {
	state, err := v.Status(ctx)
	if err != nil {
		state = err.Error()
	}
	missed := fmt.Errorf("%w for %v, while waiting for %q (QEMU: %s)", ErrSilent, silence, text, state)
	death := v.tail.fate()
	if death == nil && spoke {
		return &GuestError{"", missed, v.Tail()}
	}
	return judge(death, nil, missed, v.Tail())
}

// statusTime is how long QEMU may take to say how it is.
const statusTime = 2 * time.Second

// Status asks QEMU, not the guest, how the machine is: "running",
// "internal-error", "guest-panicked" and other words of its RunState.
func (v *VM) Status(ctx context.Context) (string, error) {
	deadline := time.Now().Add(statusTime)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	var s struct {
		Status string `json:"status"`
	}
	if err := v.qmp.run(deadline, "query-status", &s); err != nil {
		return "", err
	}
	return s.Status, nil
}

// Tail returns the last lines of the console.
func (v *VM) Tail() []string { return v.tail.last() }

// Alarms are the first lines with which the kernel complained of itself.
func (v *VM) Alarms() []Alarm { return v.tail.complaints() }

// Died is closed when a line announced the kernel's end.
func (v *VM) Died() <-chan struct{} { return v.tail.died }

// Death returns the line with which the kernel announced its end, or "". That
// init died is not the kernel's end.
func (v *VM) Death() string {
	if a := v.tail.fate(); a != nil && !a.Image {
		return a.Line
	}
	return ""
}
