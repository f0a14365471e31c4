package first

import (
	"syscall"
	"testing"
)

func TestPowerCommand(t *testing.T) {
	for _, c := range []struct {
		arch string
		acpi bool
		want int
	}{
		{"amd64", true, syscall.LINUX_REBOOT_CMD_POWER_OFF},
		{"amd64", false, syscall.LINUX_REBOOT_CMD_RESTART},
		{"arm64", false, syscall.LINUX_REBOOT_CMD_POWER_OFF},
	} {
		if got := powerCommand(c.arch, c.acpi); got != c.want {
			t.Errorf("%s, ACPI %v: %#x, want %#x", c.arch, c.acpi, got, c.want)
		}
	}
}

func TestEnding(t *testing.T) {
	if got := ending(syscall.WaitStatus(2 << 8)); got != "exit status 2" {
		t.Error(got)
	}
	if got := ending(syscall.WaitStatus(syscall.SIGSEGV)); got != "killed by signal 11 (segmentation fault)" {
		t.Error(got)
	}
}
