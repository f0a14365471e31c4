package lab

import (
	"testing"
	"time"
)

func TestStopUntil(t *testing.T) {
	for _, wait := range []time.Duration{20 * time.Millisecond, 0, -time.Second} { // the last two are over before it stops
		at := Now() + wait
		if err := stopUntil(at); err != nil {
			t.Fatal(err)
		}
		if now := Now(); now < at {
			t.Errorf("continued %v early", at-now)
		}
	}
}
