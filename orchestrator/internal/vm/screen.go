package vm

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/splat"
)

// Screen is what can be told of a guest from its console and its end. A VM has
// one; so may a stand-in for a VM. It may be used concurrently.
type Screen struct {
	tail  *tail
	ended chan struct{}
	err   error                            // how the guest ended, once ended is closed
	state func(ctx context.Context) string // more on a guest that is silent
	kept  func() time.Duration             // for how long the host has kept it waiting for a CPU
}

// NewScreen makes the screen of a guest that has not printed yet.
func NewScreen() *Screen {
	return &Screen{
		tail: newTail(), ended: make(chan struct{}),
		state: func(context.Context) string { return "" },
		kept:  func() time.Duration { return 0 },
	}
}

// Write takes what the guest prints. It never fails.
func (s *Screen) Write(p []byte) (int, error) { return s.tail.Write(p) }

// End says that the guest has ended, and how: nil is in order. It is called
// once, after the last Write.
func (s *Screen) End(err error) {
	s.tail.end()
	s.err = err
	close(s.ended)
}

// Wait waits until the guest has ended or ctx has, which leaves the guest as it is. A
// guest that powered off is no error. A *GuestError is the kernel's end, a
// *RigError any other.
func (s *Screen) Wait(ctx context.Context) error {
	select {
	case <-s.ended:
		return s.verdict(nil)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// WaitOutput waits until the guest has printed anything. That it ended before is
// what Wait says, or ErrExited.
func (s *Screen) WaitOutput(ctx context.Context) error {
	select {
	case <-s.tail.spoke:
		return nil
	case <-s.ended:
		select {
		case <-s.tail.spoke:
			return nil
		default:
			return s.verdict(ErrExited)
		}
	case <-ctx.Done():
		return fmt.Errorf("wait for output on the console: %w", context.Cause(ctx))
	}
}

// verdict says whose fault the end was. Missed is what was waited for, if it
// did not come.
func (s *Screen) verdict(missed error) error {
	return judge(s.tail.fate(), s.err, missed, s.Tail())
}

func judge(death *splat.Splat, exit, missed error, console []string) error {
	err := errors.Join(missed, exit)
	switch {
	case death != nil && death.End == splat.Image && strings.Contains(death.Line, "Unable to mount root fs"):
		return &RigError{fmt.Errorf("%w: %s", ErrNoInitramfs, death.Line), console}
	case death != nil && death.End == splat.Image:
		return &RigError{fmt.Errorf("%w: %s", ErrInit, death.Line), console}
	case death != nil && death.End == splat.Starved:
		return &RigError{fmt.Errorf("%w: %s", ErrMemory, death.Line), console}
	case death != nil:
		return &GuestError{death.Line, err, console}
	case missed != nil && exit != nil:
		return &RigError{fmt.Errorf("%w: %w", missed, exit), console}
	case err != nil:
		return &RigError{err, console}
	}
	return nil
}

// deathTime is how long a kernel may take to end QEMU after it announced its
// own end: it has a register dump to print.
const deathTime = 5 * time.Second

// patience is how many times its silence a guest is given that the host keeps
// waiting for a CPU.
const patience = 10

// WaitLine waits until the console shows a line that contains text. Until then
// the guest must never be silent for as long as silence. One that the host keeps
// waiting for a CPU more than half of that is slow and not silent, and is given ten
// times as long. What keeps the line from coming is a *GuestError or a *RigError; that nothing at
// all was printed is the rig's fault, and ErrSilent.
func (s *Screen) WaitLine(ctx context.Context, text string, silence time.Duration) error {
	began, kept := time.Now(), s.kept()
	found, forget := s.tail.watch(text)
	defer forget()
	timer := time.NewTimer(silence)
	defer timer.Stop()
	died := (<-chan struct{})(s.tail.died)
	for {
		select {
		case <-found:
			return nil
		case <-died:
			died = nil
			silence = deathTime
			timer.Reset(silence)
		case <-timer.C:
			idle, spoke := s.tail.quiet(began)
			if idle < silence {
				timer.Reset(silence - idle)
				continue
			}
			if now := s.kept(); now-kept > silence/2 && idle < patience*silence {
				kept = now
				timer.Reset(silence)
				continue
			}
			return s.silent(ctx, text, silence, spoke)
		case <-s.ended:
			select {
			case <-found:
				return nil
			default:
				return s.verdict(ErrExited)
			}
		case <-ctx.Done():
			return fmt.Errorf("wait for %q on the console: %w", text, context.Cause(ctx))
		}
	}
}

// silent is the error of a guest that stopped printing.
func (s *Screen) silent(ctx context.Context, text string, silence time.Duration, spoke bool) error {
	missed := fmt.Errorf("%w for %v, while waiting for %q%s", ErrSilent, silence, text, s.state(ctx))
	death := s.tail.fate()
	if death == nil && spoke {
		return &GuestError{"", missed, s.Tail()}
	}
	return judge(death, nil, missed, s.Tail())
}

// Tail returns the last lines.
func (s *Screen) Tail() []string { return s.tail.last() }

// Splats are those that the kernel printed, the first of them.
func (s *Screen) Splats() []splat.Splat { return s.tail.complaints() }

// Died is closed when a line announced the kernel's end.
func (s *Screen) Died() <-chan struct{} { return s.tail.died }

// Death is what the kernel announced its end with, or nil. That init died or that
// memory was too little is not the kernel's end.
func (s *Screen) Death() *splat.Splat {
	if d := s.tail.fate(); d != nil && d.End == splat.Kernel {
		return d
	}
	return nil
}
