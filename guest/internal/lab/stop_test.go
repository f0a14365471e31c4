package lab

import (
	"testing"
	"time"
)

func TestStopUntil(t *testing.T) {
	at := Now() + 20*time.Millisecond
	if err := stopUntil(at); err != nil {
		t.Fatal(err)
	}
	if now := Now(); now < at {
		t.Errorf("continued %v early", at-now)
	}
}
