package wire

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// Flow is one TCP connection as both of its ends see it, in conntrack's words:
// Orig makes the next packet of the side that speaks first, Reply the next of
// the other. It keeps sequence numbers, so a body reads as a conversation. A
// Flow is not safe for use by several goroutines.
type Flow struct {
	orig, reply end
}

type end struct {
	addr netip.AddrPort
	next uint32 // next sequence number to send
}

// Initial sequence numbers, far from zero and from each other, so that a probe
// that goes below one does not wrap, and the same in every run.
const (
	OrigISN  = 1_000_000
	ReplyISN = 5_000_000
)

// TCP makes a flow between two addresses, from orig to reply.
func TCP(orig, reply netip.AddrPort) *Flow {
	return &Flow{orig: end{orig, OrigISN}, reply: end{reply, ReplyISN}}
}

// Option changes a packet that a Flow is about to make.
type Option func(*layers.TCP, *gopacket.Payload)

// Payload puts data behind the header.
func Payload(data string) Option {
	return func(_ *layers.TCP, p *gopacket.Payload) { *p = gopacket.Payload(data) }
}

// Seq gives a packet another sequence number than the flow's next, and Ack
// another acknowledgement. The flow goes on as if neither had been said.
func Seq(n uint32) Option { return func(t *layers.TCP, _ *gopacket.Payload) { t.Seq = n } }

// Ack is described at Seq.
func Ack(n uint32) Option { return func(t *layers.TCP, _ *gopacket.Payload) { t.Ack = n } }

// SeqBy and AckBy move a packet's numbers on from the flow's, or back.
func SeqBy(n int) Option { return func(t *layers.TCP, _ *gopacket.Payload) { t.Seq += uint32(n) } }

// AckBy is described at SeqBy.
func AckBy(n int) Option { return func(t *layers.TCP, _ *gopacket.Payload) { t.Ack += uint32(n) } }

// Window gives a packet another receive window, as the header carries it.
func Window(n uint16) Option { return func(t *layers.TCP, _ *gopacket.Payload) { t.Window = n } }

// ECN sets the two flags of RFC 3168, section 6.1.
func ECN() Option {
	return func(t *layers.TCP, _ *gopacket.Payload) { t.ECE, t.CWR = true, true }
}

// TCPOption adds an option to a packet's header: a kind of IANA's list and its
// data. The header is filled up to a multiple of four bytes.
func TCPOption(kind byte, data ...byte) Option {
	return func(t *layers.TCP, _ *gopacket.Payload) {
		t.Options = append(t.Options, layers.TCPOption{
			OptionType: layers.TCPOptionKind(kind), OptionLength: uint8(2 + len(data)), OptionData: data,
		})
	}
}

// MSS is the option of RFC 9293, section 3.7.1.
func MSS(n uint16) Option { return TCPOption(2, byte(n>>8), byte(n)) }

// WindowScale is the option of RFC 7323, section 2.
func WindowScale(shift uint8) Option { return TCPOption(3, shift) }

// SACKPermitted is the option of RFC 2018, section 2.
func SACKPermitted() Option { return TCPOption(4) }

// SACK is the option of RFC 2018, section 3, with one block: the sequence numbers
// from left up to, but without, right.
func SACK(left, right uint32) Option {
	b := binary.BigEndian.AppendUint32(nil, left)
	return TCPOption(5, binary.BigEndian.AppendUint32(b, right)...)
}

// Timestamp is the option of RFC 7323, section 3.
func Timestamp(value, echo uint32) Option {
	b := binary.BigEndian.AppendUint32(nil, value)
	return TCPOption(8, binary.BigEndian.AppendUint32(b, echo)...)
}

// Orig makes the next packet in the original direction.
func (f *Flow) Orig(flags Flags, opts ...Option) Packet {
	return segment(&f.orig, &f.reply, flags, opts)
}

// Reply makes the next packet in the reply direction.
func (f *Flow) Reply(flags Flags, opts ...Option) Packet {
	return segment(&f.reply, &f.orig, flags, opts)
}

// HeardReply takes over the sequence number of a packet that a real socket sent
// in the reply direction, so that what follows acknowledges it.
func (f *Flow) HeardReply(s Seen) {
	f.reply.next = s.Seq + uint32(s.Payload) + s.Flags.length()
}

// Skip moves the original direction's sequence numbers on by n, as if that much
// had been sent.
func (f *Flow) Skip(n uint32) { f.orig.next += n }

// NextOrig is the sequence number of the next packet in the original direction.
func (f *Flow) NextOrig() uint32 { return f.orig.next }

// NextReply is the sequence number of the next packet in the reply direction.
func (f *Flow) NextReply() uint32 { return f.reply.next }

// OrigAddr is the address that the original direction comes from.
func (f *Flow) OrigAddr() netip.AddrPort { return f.orig.addr }

// Tuple is that of the original direction.
func (f *Flow) Tuple() Tuple {
	return Tuple{Proto: uint8(layers.IPProtocolTCP), Src: f.orig.addr, Dst: f.reply.addr}
}

// length is the sequence space that the flags themselves take.
func (f Flags) length() uint32 {
	var n uint32
	if f&SYN != 0 {
		n++
	}
	if f&FIN != 0 {
		n++
	}
	return n
}

func segment(from, to *end, flags Flags, opts []Option) Packet {
	tcp := &layers.TCP{
		SrcPort: layers.TCPPort(from.addr.Port()), DstPort: layers.TCPPort(to.addr.Port()),
		Seq: from.next, Window: 65535,
		FIN: flags&FIN != 0, SYN: flags&SYN != 0, RST: flags&RST != 0,
		PSH: flags&PSH != 0, ACK: flags&ACK != 0, URG: flags&URG != 0,
	}
	if tcp.ACK {
		tcp.Ack = to.next
	}
	var payload gopacket.Payload
	for _, o := range opts {
		o(tcp, &payload)
	}
	from.next += flags.length() + uint32(len(payload))
	ip := ipHeader(from.addr.Addr(), to.addr.Addr(), layers.IPProtocolTCP)
	if err := tcp.SetNetworkLayerForChecksum(ip); err != nil {
		panic(fmt.Sprintf("wire: tcp over %s: %v", from.addr, err))
	}
	return serialize(ip, tcp, payload)
}

// UDP makes a datagram.
func UDP(from, to netip.AddrPort, payload string) Packet {
	udp := &layers.UDP{SrcPort: layers.UDPPort(from.Port()), DstPort: layers.UDPPort(to.Port())}
	ip := ipHeader(from.Addr(), to.Addr(), layers.IPProtocolUDP)
	if err := udp.SetNetworkLayerForChecksum(ip); err != nil {
		panic(fmt.Sprintf("wire: udp over %s: %v", from, err))
	}
	return serialize(ip, udp, gopacket.Payload(payload))
}

func header(src, dst netip.Addr, proto layers.IPProtocol) *layers.IPv4 {
	return &layers.IPv4{
		Version: 4, IHL: 5, TTL: 64, Protocol: proto, Flags: layers.IPv4DontFragment,
		SrcIP: net.IP(src.AsSlice()), DstIP: net.IP(dst.AsSlice()),
	}
}

func serialize(ls ...gopacket.SerializableLayer) Packet {
	const headers = 80 // of what most packets are
	buf := gopacket.NewSerializeBufferExpectedSize(headers, 0)
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, opts, ls...); err != nil {
		panic(fmt.Sprintf("wire: serialize: %v", err))
	}
	return Packet{Data: buf.Bytes()}
}
