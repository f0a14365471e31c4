package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/nfnl"
)

// routeBatch is changes to links, addresses and routes that the kernel is handed at
// once: a box takes ten of them, and a request of its own for each takes longer
// than what is asked.
type routeBatch struct {
	messages []byte
	does     []string // what each message does, for errors
}

func (b *routeBatch) add(does string, kind, flags int, parts ...nl.NetlinkRequestData) {
	req := nl.NewNetlinkRequest(kind, flags|unix.NLM_F_ACK)
	for _, p := range parts {
		req.AddData(p)
	}
	b.messages = append(b.messages, req.Serialize()...)
	b.messages = append(b.messages, make([]byte, -len(b.messages)&3)...)
	b.does = append(b.does, does)
}

// queueLen sets how many packets wait in a link to be read.
func (b *routeBatch) queueLen(name string, index, packets int) {
	b.link(fmt.Sprintf("size queue of %s", name), index, 0, 0,
		nl.NewRtAttr(unix.IFLA_TXQLEN, binary.NativeEndian.AppendUint32(nil, uint32(packets))))
}

// ethernet gives a link an address of Ethernet, and has it resolve none.
func (b *routeBatch) ethernet(name string, index int, mac net.HardwareAddr) {
	b.link(fmt.Sprintf("set address of %s", name), index, unix.IFF_NOARP, unix.IFF_NOARP, nl.NewRtAttr(unix.IFLA_ADDRESS, mac))
}

// up sets a link up.
func (b *routeBatch) up(name string, index int) {
	b.link(fmt.Sprintf("set %s up", name), index, unix.IFF_UP, unix.IFF_UP)
}

// link changes those flags of a link that are in change, and attributes.
func (b *routeBatch) link(does string, index int, flags, change uint32, attrs ...nl.NetlinkRequestData) {
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index, msg.Flags, msg.Change = int32(index), flags, change
	b.add(does, unix.RTM_NEWLINK, 0, append([]nl.NetlinkRequestData{msg}, attrs...)...)
}

// address gives a link an address, of a network of its own.
func (b *routeBatch) address(name string, index int, a netip.Addr) {
	msg := nl.NewIfAddrmsg(familyOf(a))
	msg.Index, msg.Prefixlen = uint32(index), uint8(a.BitLen())
	b.add(fmt.Sprintf("add %s to %s", a, name), unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL,
		msg, nl.NewRtAttr(unix.IFA_LOCAL, a.AsSlice()), nl.NewRtAttr(unix.IFA_ADDRESS, a.AsSlice()))
}

// route sends what is for a prefix out of a link, in the main table.
func (b *routeBatch) route(name string, index int, to netip.Prefix) {
	b.routing(fmt.Sprintf("route %s to %s", to, name), unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, index, to)
}

// unroute undoes route.
func (b *routeBatch) unroute(name string, index int, to netip.Prefix) {
	b.routing(fmt.Sprintf("route %s to %s no more", to, name), unix.RTM_DELROUTE, 0, index, to)
}

func (b *routeBatch) routing(does string, kind, flags, index int, to netip.Prefix) {
	msg := &nl.RtMsg{RtMsg: unix.RtMsg{
		Family: uint8(familyOf(to.Addr())), Dst_len: uint8(to.Bits()), Table: unix.RT_TABLE_MAIN,
		Scope: unix.RT_SCOPE_LINK, Protocol: unix.RTPROT_BOOT, Type: unix.RTN_UNICAST,
	}}
	if to.Addr().Is6() {
		msg.Scope = unix.RT_SCOPE_UNIVERSE // which is all there is
	}
	b.add(does, kind, flags, msg, nl.NewRtAttr(unix.RTA_DST, to.Addr().AsSlice()), nl.NewRtAttr(unix.RTA_OIF, binary.NativeEndian.AppendUint32(nil, uint32(index))))
}

func familyOf(a netip.Addr) int {
	if a.Is6() {
		return unix.AF_INET6
	}
	return unix.AF_INET
}

// do has the calling thread's namespace changed. The kernel takes the messages in
// order and goes on after one that fails; all that failed are told.
func (b *routeBatch) do() error {
	conn, err := nfnl.DialProtocol(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	err = conn.Send(b.messages)
	if err == nil {
		for _, does := range b.does {
			if errno := conn.Answers(func(nfnl.Message) error { return nil }); errno != nil {
				err = errors.Join(err, fmt.Errorf("%s: %w", does, errno))
			}
		}
	}
	return errors.Join(err, conn.Close())
}
