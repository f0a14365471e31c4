package suite

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
)

const errnoSource = tales + "; __ip_local_out and nf_hook_slow: NF_DROP is EPERM"

// pingSockets lets every group open ping sockets.
var pingSockets = probe.Sysctl{Name: "net.ipv4.ping_group_range", Value: "0 2147483647"}

// No seed of the boot reaches these rows. Local ports and the ids of pings are
// drawn at random, but no row shows one, and none can meet another flow: those of
// the fill have the box's port 80, these the client's port 9. The fill is assured,
// so that no draw finds a victim. A SYN would be sent again after a second, of
// which the fence takes less than a hundredth.
var sendErrno = []probe.Probe{
	{
		Name:     "send-errno/room",
		Question: "What do senders see while the table has room? (The control of this family.)",
		Source:   errnoSource,
		Sysctls:  []probe.Sysctl{pingSockets},
		Run:      sendAll,
	},
	{
		Name:     "send-errno/table-full",
		Question: "What do local senders see when the table is full, is it at once, and does the packet leave?",
		Source:   errnoSource,
		Sysctls:  []probe.Sysctl{roomy, pingSockets},
		Run: func(p *probe.P) {
			listen(p)
			fill(p, 7)
			p.Mark()
			sendAll(p)
		},
	},
	{
		Name:     "send-errno/output-drop",
		Question: "What do local senders see when a rule drops their packets in filter output?",
		Source:   errnoSource,
		Sysctls:  []probe.Sysctl{pingSockets},
		Rules:    []lab.Rule{lab.On(lab.FilterOutput, lab.Out(lab.NearName), lab.Drop)},
		Run:      sendAll,
	},
	{
		Name:     "send-errno/raw-output-drop",
		Question: "And when a rule drops them in raw output, before tracking?",
		Source:   errnoSource,
		Sysctls:  []probe.Sysctl{pingSockets},
		Rules:    []lab.Rule{lab.On(lab.RawOutput, lab.Out(lab.NearName), lab.Drop)},
		Run:      sendAll,
	},
}

// remote is whom local senders talk to.
var remote = netip.AddrPortFrom(client, 9)

// senders are the ways for a program to make the box send a packet. Each
// returns the error of the call that should have sent it.
var senders = []struct {
	subject string
	open    [3]int // domain, type, protocol
	send    func(fd int) error
}{
	{"udp-sendto", [3]int{unix.AF_INET, unix.SOCK_DGRAM, 0}, func(fd int) error {
		return unix.Sendto(fd, []byte("hello"), 0, sockaddr(remote))
	}},
	{"udp-connected-write", [3]int{unix.AF_INET, unix.SOCK_DGRAM, 0}, func(fd int) error {
		if err := unix.Connect(fd, sockaddr(remote)); err != nil {
			return err
		}
		_, err := unix.Write(fd, []byte("hello"))
		return err
	}},
	{"tcp-connect", [3]int{unix.AF_INET, unix.SOCK_STREAM | unix.SOCK_NONBLOCK, 0}, func(fd int) error {
		return unix.Connect(fd, sockaddr(remote))
	}},
	{"raw-socket", [3]int{unix.AF_INET, unix.SOCK_RAW, experimental}, func(fd int) error {
		return unix.Sendto(fd, []byte("hello"), 0, sockaddr(remote))
	}},
	{"ping-socket", [3]int{unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_ICMP}, func(fd int) error {
		echo := []byte{8, 0, 0, 0, 0, 0, 0, 1} // the kernel fills in id and checksum
		return unix.Sendto(fd, echo, 0, sockaddr(remote))
	}},
}

// experimental is a protocol number of RFC 3692 that conntrack has no tracker
// for.
const experimental = 253

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
}

// sendAll lets each sender try once, and asks each socket afterwards whether an
// error is pending: that is, whether the program learns of it later.
func sendAll(p *probe.P) {
	for _, s := range senders {
		fd, err := unix.Socket(s.open[0], s.open[1]|unix.SOCK_CLOEXEC, s.open[2])
		p.Must(err)
		p.Errno(s.subject, s.send(fd))
		p.Fate(s.subject, p.ComeOut())
		pending, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
		p.Must(err)
		p.Errno(s.subject+"-pending", errnoOf(pending))
		p.Must(unix.Close(fd))
	}
	p.Delta("table", "drop", p.Stats().Drop)
	p.Count("log", "table-full", p.LogLines("table full"))
}

func errnoOf(n int) error {
	if n == 0 {
		return nil
	}
	return unix.Errno(n)
}
