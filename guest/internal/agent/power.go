package agent

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// PowerOff writes back what is not on disk yet and switches the machine off. It
// returns only if the kernel refuses.
func PowerOff() error {
	unix.Sync()
	_, err := os.Stat("/sys/firmware/acpi")
	return os.NewSyscallError("reboot", unix.Reboot(powerCommand(runtime.GOARCH, err == nil)))
}

// powerCommand chooses what ends QEMU. A PC that boots without ACPI has no power
// switch, and would halt for ever; but it can reset, upon which QEMU ends when
// it was started with -no-reboot.
func powerCommand(arch string, acpi bool) int {
	if arch == "amd64" && !acpi {
		return unix.LINUX_REBOOT_CMD_RESTART
	}
	return unix.LINUX_REBOOT_CMD_POWER_OFF
}
