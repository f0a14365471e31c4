package vm

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

// counting is code that prints the letters from A on, one a line, and keeps the
// last in RAM.
var counting = []byte{
	0xc6, 0x06, 0x00, 0x05, 0x40, // movb $'A'-1, 0x500
	0xfe, 0x06, 0x00, 0x05, // incb 0x500
	0xa0, 0x00, 0x05, // mov 0x500, %al
	0xba, 0xf8, 0x03, // mov $0x3f8, %dx
	0xee,             // out %al, %dx
	0xb0, 0x0a, 0xee, // mov $'\n', %al; out %al, %dx
	0x66, 0xb9, 0x00, 0x00, 0x20, 0x00, // mov $0x200000, %ecx
	0x66, 0x49, 0x75, 0xfc, // dec %ecx; jnz to the dec
	0xeb, 0xe6, // jmp to the incb
}

// resume restores a guest from a RAM file and a state and returns the lines that
// it prints up to one that contains text.
func resume(ctx context.Context, t *testing.T, ram string, state []byte, text string) string {
	t.Helper()
	v := start(ctx, t, func(v *VM) {
		v.Incoming, v.RAM = true, &RAM{Path: ram, Private: true}
		if _, err := v.Share(1 << 20); err != nil {
			t.Fatal(err)
		}
	}, counting)
	if err := v.Restore(ctx, bytes.NewReader(state)); err != nil {
		t.Fatal(err)
	}
	if err := v.WaitLine(ctx, text, testLimit); err != nil {
		t.Fatal(err)
	}
	v.Stop()
	lines, _, found := strings.Cut(strings.Join(v.Tail(), " "), text)
	if !found {
		t.Fatalf("the console shows %q", v.Tail())
	}
	return lines
}

// A restored guest goes on where it was saved, and what it writes stays its own:
// the next begins at the same place.
func TestRealSaveAndRestore(t *testing.T) {
	ctx := testQEMU(t)
	ram := filepath.Join(t.TempDir(), "ram")
	v := start(ctx, t, func(v *VM) {
		v.RAM = &RAM{Path: ram}
		if _, err := v.Share(1 << 20); err != nil {
			t.Fatal(err)
		}
	}, counting)
	if err := v.WaitLine(ctx, "C", testLimit); err != nil {
		t.Fatal(err)
	}
	var state bytes.Buffer
	if err := v.Save(ctx, &state); err != nil {
		t.Fatal(err)
	}
	v.Stop()
	last := v.Tail()[len(v.Tail())-1]
	first := resume(ctx, t, ram, state.Bytes(), "Z")
	if strings.Contains(first, last) || !strings.HasPrefix(first, string(last[0]+1)) {
		t.Errorf("saved after %q, the guest goes on with %q", last, first)
	}
	if second := resume(ctx, t, ram, state.Bytes(), "Z"); second != first {
		t.Errorf("restored again, the guest goes on with %q, the first time with %q", second, first)
	}
}

// QEMU says what is wrong with a state that it did not write.
func TestRealRestoreRefuses(t *testing.T) {
	ctx := testQEMU(t)
	v := start(ctx, t, func(v *VM) {
		v.Incoming, v.RAM = true, &RAM{Path: filepath.Join(t.TempDir(), "ram"), Private: true}
	}, counting)
	if err := v.Restore(ctx, strings.NewReader("rubbish, and long enough to be read")); err != nil {
		t.Fatal(err)
	}
	var rig *RigError
	if err := v.Wait(ctx); !errors.As(err, &rig) || !strings.Contains(err.Error(), "migration") {
		t.Errorf("%v, want QEMU's complaint", err)
	}
}

func TestRealNoState(t *testing.T) {
	ctx := testQEMU(t)
	v := start(ctx, t, nil, counting)
	if err := v.Save(ctx, &bytes.Buffer{}); !errors.Is(err, ErrNoState) {
		t.Errorf("saved without a RAM file: %v", err)
	}
	if err := v.Restore(ctx, strings.NewReader("")); !errors.Is(err, ErrNoState) {
		t.Errorf("restored what runs: %v", err)
	}
}
