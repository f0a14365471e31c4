package suite

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// The attributes of ctnetlink, of include/uapi/linux/netfilter/nfnetlink_conntrack.h.
const (
	ctaTupleOrig  = 1
	ctaTupleReply = 2
	ctaStatus     = 3
	ctaProtoinfo  = 4
	ctaHelp       = 5
	ctaNATSrc     = 6
	ctaTimeout    = 7
	ctaMark       = 8
	ctaID         = 12
	ctaSeqAdjOrig = 15
	ctaZone       = 18
	ctaMarkMask   = 21
	ctaLabels     = 22
	ctaLabelsMask = 23
	ctaSynproxy   = 24
	ctaFilter     = 25
	ctaStatusMask = 26

	tupleIP    = 1
	tupleProto = 2
	tupleZone  = 3

	ipV4Src = 1
	ipV4Dst = 2
	ipV6Src = 3
	ipV6Dst = 4

	protoNum     = 1
	protoSrcPort = 2
	protoDstPort = 3

	expMaster = 1
	expTuple  = 2
	expMask   = 3
	expTime   = 4
	expHelp   = 6
	expZone   = 7
	expFlags  = 8
	expClass  = 9
)

// of is an attribute that holds others.
func of(kind uint16, inside ...netlink.Attribute) netlink.Attribute {
	data, err := netlink.MarshalAttributes(inside)
	if err != nil {
		panic(fmt.Sprintf("suite: %d attributes in attribute %d: %v", len(inside), kind, err))
	}
	return netlink.Attribute{Type: unix.NLA_F_NESTED | kind, Data: data}
}

func raw(kind uint16, data ...byte) netlink.Attribute {
	return netlink.Attribute{Type: kind, Data: data}
}

func num8(kind uint16, v uint8) netlink.Attribute { return raw(kind, v) }

func num16(kind, v uint16) netlink.Attribute {
	return raw(kind, binary.BigEndian.AppendUint16(nil, v)...)
}

func num32(kind uint16, v uint32) netlink.Attribute {
	return raw(kind, binary.BigEndian.AppendUint32(nil, v)...)
}

func text(kind uint16, s string) netlink.Attribute { return raw(kind, append([]byte(s), 0)...) }

// ips are the addresses of a tuple.
func ips(from, to netip.Addr) netlink.Attribute {
	src, dst := uint16(ipV4Src), uint16(ipV4Dst)
	if from.Is6() {
		src, dst = ipV6Src, ipV6Dst
	}
	return of(tupleIP, raw(src, from.AsSlice()...), raw(dst, to.AsSlice()...))
}

// ports are the protocol of a tuple and its ports.
func ports(l4 uint8, from, to uint16) netlink.Attribute {
	return of(tupleProto, num8(protoNum, l4), num16(protoSrcPort, from), num16(protoDstPort, to))
}

// tuple is one direction of a connection.
func tuple(kind uint16, l4 uint8, from, to netip.AddrPort) netlink.Attribute {
	return of(kind, ips(from.Addr(), to.Addr()), ports(l4, from.Port(), to.Port()))
}
