// Package suite gets a family here that no shipped agent has: each of its probes
// leaves one thing behind, and a clean one comes after it. The test builds an
// agent with this file laid over the tree.
package suite

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"runtime"

	"github.com/google/nftables"
	"github.com/ti-mo/conntrack"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/modules"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
)

func init() {
	var family []probe.Probe
	add := func(p probe.Probe) {
		p.Question, p.Source, p.Only = "What is left behind?", "this test", probe.Initial
		family = append(family, p)
	}
	for _, d := range dirty {
		d.Name = "dirty/" + d.Name
		add(d)
		add(probe.Probe{Name: d.Name + "-after", Rules: []lab.Rule{silence}, Run: func(p *probe.P) {
			p.Through(tenSYNs()...)
			tableOf(p, "syn", p.Entries())
		}})
	}
	baseline = append(baseline, family...)
}

// elsewhere runs f in the initial namespace on another thread than the box's.
func elsewhere(f func(p *probe.P) error) func(*probe.P) {
	return func(p *probe.P) { p.Must(lab.InInitial(func() error { return f(p) })) }
}

func sysctl(name, value string) func(*probe.P) {
	return func(p *probe.P) { p.Must(lab.WriteSysctl(name, value)) }
}

var (
	lo    = &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: 1, Name: "lo"}}
	stray = &net.IPNet{IP: net.IPv4(203, 0, 113, 7).To4(), Mask: net.CIDRMask(32, 32)}
)

var dirty = []probe.Probe{
	{Name: "entry", Untouched: true, Bare: true, Run: func(p *probe.P) { tracked1(p) }},
	{Name: "expectation", Untouched: true, Bare: true, Needs: []string{"nf_conntrack_ftp"}, Run: func(p *probe.P) {
		conn, f := tracked1(p)
		any := netip.MustParseAddr("255.255.255.255")
		p.Must(conn.CreateExpect(conntrack.Expect{Timeout: 1000, TupleMaster: f.TupleOrig, HelpName: "ftp\x00",
			Tuple: conntrack.NewFlow(6, 0, client, web.Addr(), 0, 2000, 0, 0).TupleOrig,
			Mask:  conntrack.NewFlow(6, 0, any, any, 0, 65535, 0, 0).TupleOrig}))
	}},
	{Name: "nftables-table", Run: func(p *probe.P) {
		conn, err := nftables.New()
		p.Must(err)
		conn.AddTable(&nftables.Table{Name: "stray", Family: nftables.TableFamilyINet})
		p.Must(conn.Flush())
	}},
	{Name: "timeout-policy", Needs: []string{"nfnetlink_cttimeout"}, Run: func(p *probe.P) {
		newObject(p, unix.NFNL_SUBSYS_CTNETLINK_TIMEOUT,
			nla(1, []byte("stray\x00")), nla(2, []byte{0, unix.AF_INET}), nla(3, []byte{unix.IPPROTO_UDP}),
			nla(4|nested, nla(1, []byte{0, 0, 0, 9})))
	}},
	{Name: "helper", Needs: []string{"nfnetlink_cthelper"}, Run: func(p *probe.P) {
		newObject(p, unix.NFNL_SUBSYS_CTHELPER,
			nla(1, []byte("stray\x00")),
			nla(2|nested, append(nla(1, []byte{0, unix.AF_INET}), nla(2, []byte{unix.IPPROTO_UDP})...)),
			nla(5, []byte{0, 0, 0, 0}),
			nla(4|nested, append(nla(1, []byte{0, 0, 0, 1}), nla(2|nested, append(append(
				nla(1, []byte("stray\x00")), nla(2, []byte{0, 0, 0, 1})...), nla(3, []byte{0, 0, 0, 9})...))...)))
	}},
	{Name: "sysctl", Run: sysctl("net.ipv4.ip_forward", "1")},
	{Name: "sysctl-of-tracking", Run: sysctl("net.netfilter.nf_conntrack_udp_timeout", "7")},
	{Name: "log-level", Run: sysctl("kernel.printk", "7 4 1 7")},
	{Name: "parameter", Run: func(p *probe.P) {
		p.Must(os.WriteFile("/sys/module/nf_conntrack/parameters/hashsize", []byte("1024"), 0))
	}},
	{Name: "module-gone", Needs: []string{"nft_redir"}, Run: func(p *probe.P) {
		loader, err := modules.Open()
		p.Must(err)
		p.Must(loader.Unload("nft_redir"))
	}},
	{Name: "link", Run: elsewhere(func(p *probe.P) error {
		fd := tunFD(p)
		defer unix.Close(fd)
		req, err := unix.NewIfreq("stray")
		p.Must(err)
		req.SetUint16(unix.IFF_TUN)
		p.Must(unix.IoctlIfreq(fd, unix.TUNSETIFF, req))
		return unix.IoctlSetInt(fd, unix.TUNSETPERSIST, 1)
	})},
	{Name: "link-down", Run: elsewhere(func(*probe.P) error { return netlink.LinkSetDown(lo) })},
	{Name: "mtu", Run: elsewhere(func(*probe.P) error { return netlink.LinkSetMTU(lo, 1234) })},
	{Name: "address", Run: elsewhere(func(*probe.P) error { return netlink.AddrAdd(lo, &netlink.Addr{IPNet: stray}) })},
	{Name: "route", Run: elsewhere(func(*probe.P) error {
		return netlink.RouteAdd(&netlink.Route{Dst: stray, Type: unix.RTN_BLACKHOLE})
	})},
	{Name: "rule", Run: elsewhere(func(*probe.P) error {
		r := netlink.NewRule()
		r.Family, r.Table, r.Priority, r.Mark = unix.AF_INET, 100, 7, 1
		return netlink.RuleAdd(r)
	})},
	{Name: "neighbour", Run: elsewhere(func(*probe.P) error {
		return netlink.NeighAdd(&netlink.Neigh{LinkIndex: 1, State: unix.NUD_PERMANENT, IP: net.ParseIP("2001:db8::7"), HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 1}})
	})},
	{Name: "file", Run: func(p *probe.P) { tunFD(p) }},
	{Name: "listener", Run: elsewhere(func(p *probe.P) error {
		_, err := listener(p)
		return err
	})},
	{Name: "namespace", Run: func(p *probe.P) {
		p.InChild(func(c *probe.P) {
			_, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
			c.Must(err)
		})
	}},
	{Name: "time-wait", Run: elsewhere(func(p *probe.P) error {
		server, err := listener(p)
		p.Must(err)
		name, err := unix.Getsockname(server)
		p.Must(err)
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		p.Must(err)
		p.Must(unix.Connect(fd, name))
		peer, _, err := unix.Accept4(server, unix.SOCK_CLOEXEC)
		p.Must(err)
		p.Must(unix.Close(fd))
		p.Must(unix.Close(peer))
		return unix.Close(server)
	})},
	{Name: "thread", Run: func(p *probe.P) {
		done := make(chan error)
		go func() {
			runtime.LockOSThread()
			done <- unix.Unshare(unix.CLONE_NEWNET)
			select {}
		}()
		p.Must(<-done)
	}},
}

func tunFD(p *probe.P) int {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	p.Must(err)
	return fd
}

func listener(p *probe.P) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	p.Must(err)
	p.Must(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: 4711}))
	return fd, unix.Listen(fd, 1)
}

// tracked1 makes an entry that nobody flushes: an untouched probe has no table.
func tracked1(p *probe.P) (*conntrack.Conn, conntrack.Flow) {
	loader, err := modules.Open()
	p.Must(err)
	p.Must(loader.Load("nf_conntrack_netlink", "nf_conntrack_ftp"))
	conn, err := conntrack.Dial(nil)
	p.Must(err)
	p.Cleanup(conn.Close)
	f := conntrack.NewFlow(6, 0, client, web.Addr(), 1000, 21, 1000, 0)
	f.Helper.Name = "ftp\x00"
	p.Must(conn.Create(f))
	return conn, f
}

const nested = unix.NLA_F_NESTED

func nla(kind uint16, payload []byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(payload)))
	b = append(binary.NativeEndian.AppendUint16(b, kind), payload...)
	return append(b, make([]byte, -len(b)&3)...)
}

// newObject sends a netfilter subsystem its message 0, which makes an object.
func newObject(p *probe.P, subsystem uint16, attrs ...[]byte) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	p.Must(err)
	defer unix.Close(fd)
	body := []byte{unix.AF_INET, 0, 0, 0}
	for _, a := range attrs {
		body = append(body, a...)
	}
	msg := binary.NativeEndian.AppendUint32(nil, uint32(16+len(body)))
	msg = binary.NativeEndian.AppendUint16(msg, subsystem<<8)
	msg = binary.NativeEndian.AppendUint16(msg, unix.NLM_F_REQUEST|unix.NLM_F_ACK|unix.NLM_F_CREATE)
	msg = append(append(msg, make([]byte, 8)...), body...)
	_, err = unix.Write(fd, msg)
	p.Must(err)
	answer := make([]byte, 4096)
	_, err = unix.Read(fd, answer)
	p.Must(err)
	if errno := -int32(binary.NativeEndian.Uint32(answer[16:])); errno != 0 {
		p.Must(unix.Errno(errno))
	}
}
