package vm

import (
	"context"
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// A guest that the host gives no CPU is not silent until it was so ten times as
// long; one that has a CPU and says nothing is.
func TestKeptWaiting(t *testing.T) {
	for name, c := range map[string]struct {
		share time.Duration // of a second, kept waiting
		want  time.Duration
	}{
		"on a free host": {0, time.Minute},
		"on a busy host": {400 * time.Millisecond, time.Minute},
		"without a CPU":  {900 * time.Millisecond, 10 * time.Minute},
		"two threads so": {1800 * time.Millisecond, 10 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := NewScreen()
				began := time.Now()
				s.kept = func() time.Duration { return time.Duration(time.Since(began).Seconds() * float64(c.share)) }
				err := s.WaitLine(context.Background(), "ready", time.Minute)
				if took := time.Since(began); !errors.Is(err, ErrSilent) || took != c.want {
					t.Errorf("after %v: %v, want ErrSilent after %v", took, err, c.want)
				}
			})
		})
	}
}

// The host counts for real processes, or says nothing of them.
func TestKeptWaitingOfProcess(t *testing.T) {
	if got := keptWaiting(os.Getpid()); got < 0 {
		t.Errorf("this process waited for %v", got)
	}
	const nobody = 1 << 30 // above the greatest there can be
	if got := keptWaiting(nobody); got != 0 {
		t.Errorf("no process waited for %v", got)
	}
}
