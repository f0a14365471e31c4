package vm

import (
	"fmt"
	"strings"
)

// Device is a feature of the machine: some of QEMU's arguments, and why they
// are there in its comment.
type Device interface{ args() []string }

// SerialPort is a virtio port whose host end is the inherited file FD, a
// connected socket. The guest finds it by name. It needs no driver but
// virtio's, is fast, and is no network, so nothing on it is ever tracked.
type SerialPort struct {
	Name string
	FD   int
}

func (p SerialPort) args() []string {
	return []string{
		"-chardev", fmt.Sprintf("socket,id=port%d,fd=%d", p.FD, p.FD),
		"-device", "virtio-serial-pci",
		"-device", fmt.Sprintf("virtserialport,chardev=port%d,name=%s", p.FD, p.Name),
	}
}

// BaseArgs are the kernel arguments of every guest, with the reason for each.
var BaseArgs = []struct{ Arg, Why string }{
	{"console=ttyS0", "the console is what is left when all else fails"},
	{"quiet", "a character on an emulated serial line costs as much as a thousand instructions"},
	{"panic=-1", "a kernel that died reboots, which ends QEMU"},
	{"oops=panic", "one that went wrong does not go on to answer questions"},
	{"reboot=t", "by triple fault, which needs no firmware"},
	{"tsc=reliable", "calibration against other clocks takes long and idle time is cheaper without the watchdog"},
	{"no_timer_check", "the emulated timer works, checking it is slow"},
	{"mitigations=off", "there is no speculation to guard against"},
	{"nowatchdog", "lockup detectors wake an idle guest"},
	{"audit=0", "audit would log what rules do"},
	{"random.trust_cpu=on", "what randomness there is must not be waited for"},
}

// Args are QEMU's arguments. The same VM has the same arguments.
func (v *VM) Args() []string {
	args := []string{
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-nic", "none",
		"-machine", v.Machine, "-accel", string(v.Accel), "-cpu", cpuModel(v.Accel),
		"-smp", fmt.Sprint(v.CPUs), "-m", fmt.Sprintf("%dM", v.MemoryMB),
	}
	if v.Clock == Virtual {
		args = append(args, virtualClock...)
	}
	args = append(args, "-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console")
	for _, d := range v.Devices {
		args = append(args, d.args()...)
	}
	var words []string
	for _, a := range BaseArgs {
		words = append(words, a.Arg)
	}
	words = append(words, v.Append...)
	return append(args, "-kernel", v.Kernel, "-initrd", v.Initrd, "-append", strings.Join(words, " "))
}

// virtualClock makes a nanosecond of guest time follow from instructions, lets
// the clock jump while the guest idles, and fixes what it reads and how QEMU's
// own random numbers begin. shift=2 is four nanoseconds an instruction: at 0 a
// boot takes about two seconds longer.
var virtualClock = []string{
	"-icount", "shift=2,sleep=off", "-seed", "1", "-rtc", "base=2020-04-01T00:00:00,clock=vm",
}

// cpuModel is the model of the CPU: under TCG one that is the same whatever the
// host is, so that a kernel takes the same paths everywhere.
func cpuModel(accel Accel) string {
	if accel == KVM {
		return "host"
	}
	return "qemu64"
}

// Quote writes a command line as a shell would read it.
func Quote(argv []string) string {
	var words []string
	for _, w := range argv {
		if w == "" || strings.ContainsAny(w, " \t\n'\"\\$`&|;<>()*?[]#~=%!{}") {
			w = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
		words = append(words, w)
	}
	return strings.Join(words, " ")
}
