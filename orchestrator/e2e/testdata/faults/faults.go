// Package suite gets a family here that no shipped agent has: each of its probes
// does away with the guest it runs in, or with what it was to say, in a way of its
// own. The test builds an agent with this file laid over the tree.
package suite

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/observe"
)

func init() {
	var family []probe.Probe
	for _, f := range faults {
		family = append(family, probe.Probe{
			Name: "fault/" + f.name, Question: "What becomes of the guest?", Source: "this test", Only: probe.Initial,
			Rules: []lab.Rule{silence}, Run: func(p *probe.P) {
				if faulty612() {
					f.run(p)
				}
				p.Through(tenSYNs()...)
				tableOf(p, "syn", p.Entries())
			},
		})
	}
	baseline = append(baseline, family...)
}

// faulty612 says whether the kernel is the one that is done away with. Others are
// asked beside it and go on.
func faulty612() bool {
	var uts unix.Utsname
	return unix.Uname(&uts) == nil && strings.HasPrefix(unix.ByteSliceToString(uts.Release[:]), "6.12.")
}

var faults = []struct {
	name string
	run  func(*probe.P)
}{
	{"none", func(*probe.P) {}},
	{"panic", sysrq("c")},
	{"oops", module(0x0f, 0x0b)},                    // ud2
	{"warn", module(0x0f, 0x0b, 0x31, 0xc0, 0xc3)},  // ud2, which is made a WARN; xor %eax,%eax; ret
	{"reset", module(0x0f, 0x01, 0x1c, 0x24, 0xcc)}, // lidt (%rsp), of whatever there is; int3
	{"reboot", sysrq("b")},
	{"killed", func(p *probe.P) { p.Must(unix.Kill(os.Getpid(), unix.SIGKILL)) }},
	{"gives-up", func(*probe.P) { panic("I cannot go on") }},
	{"memory", func(p *probe.P) {
		for {
			mem, err := unix.Mmap(-1, 0, 16<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
			p.Must(err)
			for i := 0; i < len(mem); i += 4096 {
				mem[i] = 1
			}
		}
	}},
	{"spins", func(*probe.P) {
		for i := 0; ; i++ {
			_ = i
		}
	}},
	{"idles", func(p *probe.P) {
		var fds [2]int
		p.Must(unix.Pipe(fds[:]))
		_, err := unix.Read(fds[0], make([]byte, 1))
		p.Must(err)
	}},
	{"hangs", module(0xfb, 0xeb, 0xfe)},     // sti; jmp to itself
	{"hangs-off", module(0xfa, 0xeb, 0xfe)}, // cli; jmp to itself
	{"floods", func(p *probe.P) {
		p.Must(os.WriteFile("/proc/sys/kernel/printk_devkmsg", []byte("on\n"), 0))
		log, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
		p.Must(err)
		line := []byte("<3>" + strings.Repeat("flood ", 100))
		for range 20000 {
			_, err := log.Write(line)
			p.Must(err)
		}
		p.Must(log.Close())
	}},
	{"garbles", says(`{"row":{"row":"fault/garbles/x`)},
	{"repeats", says(`{"begin":{"probe":"fault/none"}}`)},
	{"claims", says(`{"row":{"row":"table-full/syn/syn.mangle","kind":"count","value":"7"}}`)},
	{"truncates", func(p *probe.P) { channel(p).End(nil) }},
	{"babbles", func(p *probe.P) {
		c := channel(p)
		line := []byte(`{"log":{"level":3,"at_us":1,"text":"` + strings.Repeat("babble ", 100) + `"}}` + "\n")
		for {
			_, err := c.Write(line)
			p.Must(err)
		}
	}},
}

// sysrq has the kernel do what a key of the same name does.
func sysrq(key string) func(*probe.P) {
	return func(p *probe.P) { p.Must(os.WriteFile("/proc/sysrq-trigger", []byte(key), 0)) }
}

// says adds a line to what the agent says.
func says(line string) func(*probe.P) {
	return func(p *probe.P) {
		_, err := channel(p).Write([]byte(line + "\n"))
		p.Must(err)
	}
}

// channel is the one through which the agent speaks.
func channel(p *probe.P) *observe.Channel {
	fd, err := unix.Open("/dev/mem", unix.O_RDWR|unix.O_SYNC|unix.O_CLOEXEC, 0)
	p.Must(err)
	mem, err := unix.Mmap(fd, observe.ChannelAddress, observe.ChannelSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	p.Must(err)
	c, err := observe.FindChannel(mem)
	p.Must(err)
	p.Must(unix.Close(fd))
	return c
}
