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

// Sandbox takes from QEMU the system calls that a machine without disk and
// network has no use for, before the first guest instruction: a guest that
// breaks out of the emulation cannot start programs or change who it is. Not
// every QEMU is built with it; see HasSandbox.
type Sandbox struct{}

func (Sandbox) args() []string {
	return []string{"-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"}
}

// monitor is QEMU's machine protocol on the inherited file FD: the one way to
// ask a machine how it is without asking its guest, and to end it in order.
type monitor struct{ FD int }

func (m monitor) args() []string {
	return []string{
		"-chardev", fmt.Sprintf("socket,id=monitor,fd=%d", m.FD),
		"-mon", "chardev=monitor,mode=control",
	}
}

// serialConsole is the guest's ttyS0 on QEMU's standard output: the one device
// that every kernel drives from its first lines to its last. signal=off, since
// there is no terminal to type Ctrl-C in.
type serialConsole struct{}

func (serialConsole) args() []string {
	return []string{"-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"}
}

// virtualClock makes guest time follow from instructions, lets the clock jump
// while the guest idles, and fixes what it reads and how QEMU's own random
// numbers begin. shift=2 is four nanoseconds an instruction: at 0 a boot takes
// about two seconds longer.
type virtualClock struct{ seed uint32 }

func (c virtualClock) args() []string {
	return []string{"-icount", "shift=2,sleep=off", "-seed", fmt.Sprint(c.seed), "-rtc", "base=2020-04-01T00:00:00,clock=vm"}
}

// BaseArgs are the kernel arguments of every guest, with the reason for each.
// Seconds are of CPU from QEMU's start to init, under emulation, of Debian's
// 6.1 or 7.3 cloud kernel (2.7 and 3.7 with none that saves).
//
// Tried and left out, since what they gain is below what two boots differ by on a
// shared host: 8250.nr_uarts=1, mitigations=off (20 million instructions more on 7.3).
// And nolapic_timer: to measure the local timer the kernel spins for a tenth of a
// second, which is 1.0 s on 6.1 and 1.5 to 1.7 s on 7.3; but the tick then comes from
// the HPET, which takes three accesses to program and not one, and five idle days of
// 7.3 took 19.0 s and not 14.7, of 6.1 14.9 s and not 12.4.
var BaseArgs = []struct{ Arg, Why string }{
	{"console=ttyS0", "the console is what is left when all else fails"},
	{"loglevel=6", "the first lines come early enough to tell a wedged machine from a slow one; a thousand bytes, not measurable"},
	{"panic=-1", "a kernel that died reboots, which ends QEMU"},
	{"oops=panic", "one that went wrong does not go on to answer questions"},
	{"unknown_nmi_panic", "one that hangs is sent an NMI, and says where it is"},
	{"reboot=t", "by triple fault, which needs no firmware"},
	{"tsc=reliable", "calibration against other clocks takes long and idle time is cheaper without the watchdog"},
	{"hpet=disable", "newer QEMUs (10.0 does, 7.2 does not) let the HPET tick on 250 times a second once the kernel has left it: five idle days were not over in a minute of the host's; and a boot has 60 million instructions less on 6.1, 85 on 7.3"},
	{"no_timer_check", "the emulated timer works, checking it is slow"},
	{"cryptomgr.notests", "the kernel's tests of its ciphers are not ours: 0.3 to 0.4 s"},
	{"nowatchdog", "lockup detectors wake an idle guest"},
	{"psi=0", "pressure is averaged every two seconds while anything else happens"},
	{"cgroup_disable=memory", "its statistics are flushed every two seconds: 386 times in an idle hour of 6.1, half of that without"},
	{"mce=off", "machine checks are polled for every five minutes"},
	{"audit=0", "audit would log what rules do"},
	{"rcupdate.rcu_expedited=1", "what waits for RCU would idle for ticks, some of them for each device and chain that comes or goes: 5 to 8 percent of a suite"},
	{"random.trust_cpu=on", "randomness is there at once and never waited for"},
	{"initcall_blacklist=hpet_init,trace_eval_init", "/dev/hpet, which nobody opens, measures how long it takes to read: 0.2 s; and names of numbers are put into the formats of trace events, which nobody reads: 120 million instructions on 7.3, 55 on 6.1, 0.2 to 0.4 s"},
}

// Args are QEMU's arguments. The same VM has the same arguments; from Start on
// they hold its monitor, too.
func (v *VM) Args() []string {
	d := v.withDefaults()
	machine, memory := d.Machine, []string(nil)
	if d.RAM != nil {
		machine, memory = machine+",memory-backend=ram", d.RAM.args(d.MemoryMB)
	}
	args := append(memory,
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-nic", "none",
		"-machine", machine, "-accel", d.accel(), "-cpu", d.cpu(),
		"-smp", fmt.Sprint(d.CPUs), "-m", d.memory(),
	)
	if d.Clock == Virtual {
		args = append(args, virtualClock{d.Seed}.args()...)
	}
	args = append(args, serialConsole{}.args()...)
	for _, dev := range d.Devices {
		args = append(args, dev.args()...)
	}
	if v.monitor != nil {
		args = append(args, v.monitor.args()...)
	}
	if d.Incoming {
		// What the kernel was, the state knows.
		return append(args, "-incoming", "defer")
	}
	args = append(args, "-kernel", d.Kernel)
	if d.Initrd != "" {
		args = append(args, "-initrd", d.Initrd)
	}
	return append(args, "-append", d.append())
}

// memory is the guest's, and the room for a SharedMemory.
func (v *VM) memory() string {
	size := fmt.Sprintf("%dM", v.MemoryMB)
	for _, dev := range v.Devices {
		if _, ok := dev.(SharedMemory); ok {
			size += ",maxmem=" + mostAddress
		}
	}
	return size
}

func (v *VM) append() string {
	if v.Bare {
		return strings.Join(v.Append, " ")
	}
	var words []string
	for _, a := range BaseArgs {
		words = append(words, a.Arg)
	}
	return strings.Join(append(words, v.Append...), " ")
}

// translations bounds, in units of 2^20 bytes, what QEMU keeps of the guest code that
// it has translated. When that is full QEMU throws it away and begins anew. Unless told
// otherwise it takes up to a gigabyte, and keeps code that ran once: 90 MiB by the end of
// the whole suite on 6.1. Two at a time on one host the suite took 71.5 s of CPU with 64
// and 71.4 without a bound, 80.4 with 48 and 78.5 without: translations were thrown
// away once, and five times. With 32 it was 14 times, and with 16 a fifth of the suite
// took more than three times as long.
const translations = 64

func (v *VM) accel() string {
	if v.Accel == TCG {
		return fmt.Sprintf("%s,tb-size=%d", v.Accel, translations)
	}
	return string(v.Accel)
}

// cpu is the model of the CPU: under TCG one that is the same whatever the host
// is, so that a kernel takes the same paths everywhere. It is the plainest, and
// the quickest to boot with Nehalem ("max" costs 0.3 s more); rdrand gives the
// kernel its randomness before init runs, from QEMU's seed.
//
// It has no cmpxchg16b, which kernels then do without: QEMU 7.2 gives it wrong
// flags, and a timer interrupt right after it saves and restores them. A slab
// allocation of the kernel then dies of a double fault, with an address in
// EFLAGS: five of sixteen boots of Debian's 6.12.95-1~bpo12+1.
func (v *VM) cpu() string {
	if v.Accel == KVM {
		return "host"
	}
	return "qemu64,+rdrand,-cx16"
}

// plain are the characters that mean only themselves to every shell.
const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+.,/:@%"

// Quote writes a command line as a shell would read it.
func Quote(argv []string) string {
	var words []string
	for _, w := range argv {
		if w == "" || strings.Trim(w, plain) != "" {
			w = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
		words = append(words, w)
	}
	return strings.Join(words, " ")
}

// String is the command line, to be pasted into a shell. The inherited files are
// not there then.
func (v *VM) String() string {
	return Quote(append([]string{v.withDefaults().QEMU}, v.Args()...))
}
