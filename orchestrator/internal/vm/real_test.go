package vm

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Tests that start QEMU. None of them boots a kernel: guests are firmware of a
// few bytes that prints, hangs or powers off.

// testLimit bounds every wait of these tests: one that takes so long hangs.
const testLimit = time.Minute

func testQEMU(t *testing.T) context.Context {
	t.Helper()
	if _, err := Path(DefaultQEMU); err != nil {
		if os.Getenv("CTMATRIX_REAL_TESTS") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), testLimit)
	t.Cleanup(cancel)
	return ctx
}

// Firmware cannot be loaded beside a kernel's arguments, so that it comes as a
// device, and the kernel is an empty one that nothing starts.
type bios struct{ file string }

func (b bios) args() []string { return []string{"-bios", b.file} }

// print is code that writes text to ttyS0.
func printing(text string) []byte {
	code := []byte{0xba, 0xf8, 0x03} // mov $0x3f8, %dx
	for _, c := range []byte(text) {
		code = append(code, 0xb0, c, 0xee) // mov $c, %al; out %al, %dx
	}
	return code
}

var (
	hang  = []byte{0xf4, 0xeb, 0xfd}                   // hlt; jmp to the hlt
	reset = []byte{0xb0, 0x06, 0xba, 0xf9, 0x0c, 0xee} // write 6 to the reset register
)

// machine is a VM whose firmware is code.
func machine(t *testing.T, code ...[]byte) *VM {
	t.Helper()
	image := rom(0xe9, 0x0d, 0x00) // jmp over the rest of the ROM, to its start
	at := 0
	for _, c := range code {
		at += copy(image[at:], c)
	}
	dir := t.TempDir()
	file, kernel := filepath.Join(dir, "rom"), filepath.Join(dir, "kernel")
	if err := os.WriteFile(file, image, 0o600); err != nil {
		t.Fatal(err)
	}
	// A multiboot header: QEMU takes it for a kernel and loads nothing.
	if err := os.WriteFile(kernel, make([]byte, 64<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	return &VM{Kernel: kernel, MemoryMB: 16, Devices: []Device{bios{file}}, Pin: AnyCPU}
}

func TestRealSmoke(t *testing.T) {
	ctx := testQEMU(t)
	var out strings.Builder
	v := machine(t, printing("hello\r\n"), reset)
	v.Console = &out
	if err := v.Start(ctx); err != nil {
		t.Fatal(err)
	}
	fmt.Println(v.WaitLine(ctx, "hello", 5*time.Second))
	fmt.Println(v.Wait(ctx), out.String())
}

var _ = bufio.NewReader
var _ = errors.Is
var _ = io.Discard
var _ = exec.Command
var _ = strconv.Itoa
var _ = syscall.SIGKILL
var _ = unix.Kill
