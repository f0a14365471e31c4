package vm

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A machine is given its own time, whatever the host does beside, and never more than
// so many times as long.
func TestWithin(t *testing.T) {
	for name, c := range map[string]struct {
		share float64 // of the time, kept waiting
		want  time.Duration
		text  string
	}{
		"on a free host":  {0, 10 * time.Second, "not within 10s"},
		"on a busy host":  {0.5, 20 * time.Second, "not within 10s of its own time, 20s on this busy host"},
		"hardly ever run": {0.99, 100 * time.Second, "not within 10s of its own time, 1m40s on this busy host"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				kept := func() time.Duration { return time.Duration(c.share * float64(time.Since(began))) }
				ctx, cancel := within(t.Context(), 10*time.Second, patience*10*time.Second, kept)
				defer cancel()
				<-ctx.Done()
				var late *LateError
				took := time.Since(began)
				if err := context.Cause(ctx); !errors.As(err, &late) || !errors.Is(err, context.DeadlineExceeded) || late.Error() != c.text {
					t.Errorf("%v, want %q", err, c.text)
				}
				if took < c.want || took > c.want+10*leastLook {
					t.Errorf("after %v, want %v", took, c.want)
				}
			})
		})
	}
}

// Whoever is done with it, or is told to stop, is not late.
func TestWithinEnds(t *testing.T) {
	outer, stop := context.WithCancel(t.Context())
	ctx, cancel := within(outer, time.Hour, time.Hour, func() time.Duration { return 0 })
	stop()
	<-ctx.Done()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	cancel()
}

func TestSlowness(t *testing.T) {
	for took, want := range map[time.Duration]float64{0: 1, usualStart / 2: 1, 3 * usualStart: 3, 100 * usualStart: patience} {
		v := VM{startTook: new(atomic.Int64)}
		v.startTook.Store(int64(took))
		if got := v.Slowness(); got != want {
			t.Errorf("after %v it is %v, want %v", took, got, want)
		}
	}
}

// The host counts what a real QEMU takes, and a QEMU that is stopped is late by the
// host's clock alone.
func TestRealPace(t *testing.T) {
	ctx := testQEMU(t)
	v := start(ctx, t, nil, printing("up\n"), hang)
	if err := v.Up(ctx); err != nil {
		t.Fatal(err)
	}
	took := time.Duration(v.startTook.Load())
	t.Logf("QEMU came up in %v of CPU time: the host is %.1f times slower", took, v.Slowness())
	if _, err := os.Stat("/proc/self/schedstat"); err == nil && took == 0 {
		t.Error("nothing was counted")
	}
	if err := v.WaitOutput(ctx); err != nil {
		t.Error(err)
	}
	if err := v.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	within, cancel := v.Within(ctx, short)
	defer cancel()
	var late *LateError
	if err := v.qmp.run(within, "query-status", nil, nil); !errors.As(err, &late) {
		t.Errorf("%v, want that it was late", err)
	}
	if err := v.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}

// A guest that resets its machine is told from one that was ended.
func TestRealReset(t *testing.T) {
	ctx := testQEMU(t)
	v := start(ctx, t, func(v *VM) { v.Incoming, v.RAM = true, &RAM{Path: filepath.Join(t.TempDir(), "ram"), Private: true} }, hang)
	if err := v.Up(ctx); err != nil {
		t.Fatal(err)
	}
	v.Stop()
	if v.Reset() {
		t.Error("what was stopped says that its guest reset it")
	}
	// A guest that resets before anybody spoke with QEMU could not be told: so it
	// waits until somebody has.
	slow := []byte{0x66, 0xb9, 0x00, 0x00, 0x00, 0x01, 0x66, 0x49, 0x75, 0xfc} // mov $0x1000000, %ecx; dec %ecx; jnz to the dec
	v = start(ctx, t, nil, slow, reset)
	if err := v.Up(ctx); err != nil {
		t.Fatal(err)
	}
	if err := v.Wait(ctx); err != nil || !v.Reset() {
		t.Errorf("reset: %v, %v", v.Reset(), err)
	}
}
