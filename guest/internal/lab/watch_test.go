package lab

import (
	"encoding/hex"
	"reflect"
	"testing"
	"time"
)

// A rule's counter is found among its expressions, as the kernel lists them.
func TestPacketsOf(t *testing.T) {
	const (
		meta    = "14000100" + "09000100" + "6d65746100000000" + "04000280"
		counter = "2c000100" + "0c000100" + "636f756e74657200" + "1c000280" + "0c000100" + "0000000000000028" + "0c000200" + "0000000000000007"
	)
	for in, want := range map[string]uint64{"": 0, meta: 0, counter: 7, meta + counter: 7, counter[:40]: 0} {
		b, err := hex.DecodeString(in)
		if err != nil {
			t.Fatal(err)
		}
		if got := packetsOf(b); got != want {
			t.Errorf("%s: %d packets, want %d", in, got, want)
		}
	}
}

// Zones are known from the rules that set them, each once, and 0 is always one.
func TestZones(t *testing.T) {
	s := &Ruleset{}
	if got := s.Zones(); !reflect.DeepEqual(got, []uint16{0}) {
		t.Errorf("zones %v without a rule", got)
	}
	for _, p := range []Part{CtSet("zone", []byte{7, 0}), CtSet("zone", []byte{1, 0}), CtSet("zone", []byte{7, 0}), CtSet("mark", []byte{9, 0, 0, 0})} {
		if p.zone != 0 {
			s.addZone(p.zone)
		}
	}
	if got := s.Zones(); !reflect.DeepEqual(got, []uint16{0, 1, 7}) {
		t.Errorf("zones %v", got)
	}
}

func TestFreshTickReturns(t *testing.T) {
	began := Now()
	for range 20 {
		FreshTick()
	}
	if took := Now() - began; took > 5*time.Second {
		t.Errorf("20 times took %v", took)
	}
}
