package vm

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/splat"
)

// politeness is how long QEMU may take to end when told to.
const politeness = 2 * time.Second

// end ends QEMU: in order, and by force if that takes too long. It returns when
// the process is gone, or cannot be ended.
func (v *VM) end() error {
	ctx, cancel := context.WithTimeout(context.Background(), politeness/2)
	defer cancel()
	if err := v.qmp.run(ctx, "quit", nil, nil); err != nil {
		// It is gone, or hangs, or ended before it answered.
		_ = v.cmd.Process.Signal(syscall.SIGTERM) // fails only if it is gone
	}
	timer := time.NewTimer(politeness)
	defer timer.Stop()
	select {
	case <-v.gone:
		return nil
	case <-timer.C:
		return kill(v.cmd, v.gone)
	}
}

// Stop ends QEMU, in order and after three seconds by SIGKILL, and returns when
// it is gone, or stuck in the host's kernel (ErrUnkillable). It is the
// guest's caller who gives it the chance to power off before. Stop may be called
// at any time and again.
func (v *VM) Stop() {
	if v.cmd == nil || v.cmd.Process == nil {
		v.closeFiles() // was not started
		return
	}
	if v.end() == nil {
		<-v.screen.ended
	}
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

// statusTime is how long QEMU may take to say how it is.
const statusTime = 2 * time.Second

// Status asks QEMU, not the guest, how the machine is: "running",
// "internal-error", "guest-panicked" and other words of its RunState.
func (v *VM) Status(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, statusTime)
	defer cancel()
	var s struct {
		Status string `json:"status"`
	}
	if err := v.qmp.run(ctx, "query-status", nil, &s); err != nil {
		return "", err
	}
	return s.Status, nil
}

// Wait waits until QEMU has exited or ctx ends, which leaves QEMU as it is. A
// guest that powered off is no error. A *GuestError is the kernel's end, a
// *RigError any other.
func (v *VM) Wait(ctx context.Context) error { return v.screen.Wait(ctx) }

// WaitLine waits until the console shows a line that contains text. Until then
// the guest must never be silent for as long as silence, unless the host keeps it
// waiting for a CPU (see Screen.WaitLine). What keeps the line from coming is a
// *GuestError or a *RigError; that nothing at all was printed is the rig's fault,
// and ErrSilent.
func (v *VM) WaitLine(ctx context.Context, text string, silence time.Duration) error {
	return v.screen.WaitLine(ctx, text, silence)
}

// Tail returns the last lines of the console.
func (v *VM) Tail() []string { return v.screen.Tail() }

// Splats are those that the kernel printed, the first of them.
func (v *VM) Splats() []splat.Splat { return v.screen.Splats() }

// Died is closed when a line announced the kernel's end.
func (v *VM) Died() <-chan struct{} { return v.screen.Died() }

// Death is what the kernel announced its end with, or nil. That init died or that
// memory was too little is not the kernel's end.
func (v *VM) Death() *splat.Splat { return v.screen.Death() }

// WaitOutput waits until the guest has printed anything. That it ended before is
// what Wait says, or ErrExited.
func (v *VM) WaitOutput(ctx context.Context) error { return v.screen.WaitOutput(ctx) }

// state is Status in brackets, for an error.
func (v *VM) state(ctx context.Context) string {
	state, err := v.Status(ctx)
	if err != nil {
		state = err.Error()
	}
	return " (QEMU: " + state + ")"
}
