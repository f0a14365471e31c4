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
func TestUsageOfProcess(t *testing.T) {
	if ran, waited := scheduled(os.Getpid()); ran < 0 || waited < 0 {
		t.Errorf("this process ran for %v and waited for %v", ran, waited)
	}
	if got := peak(os.Getpid()); got < 1<<20 {
		t.Errorf("this process had %d bytes in RAM at most", got)
	}
	const nobody = 1 << 30 // above the greatest there can be
	if ran, waited := scheduled(nobody); ran != 0 || waited != 0 || peak(nobody) != 0 {
		t.Errorf("no process ran for %v, waited for %v and had %d bytes", ran, waited, peak(nobody))
	}
}
