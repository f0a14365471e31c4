package lab

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// CountOver matches packets of connections that are more than n, of all that the
// rule saw: `ct count over n`.
func CountOver(n uint32) Part {
	return Part{text: fmt.Sprintf("ct count over %d", n), exprs: []expr.Any{
		&expr.Connlimit{Count: n, Flags: expr.NFT_CONNLIMIT_F_INV}}}
}

// ObjectKind is what an object of a table is.
type ObjectKind = nftables.ObjType

// The kinds of objects that rules refer to.
const (
	TimeoutObject     = nftables.ObjTypeCtTimeout
	ExpectationObject = nftables.ObjTypeCtExpect
	HelperObjectKind  = nftables.ObjTypeCtHelper
	CountObject       = nftables.ObjTypeConnLimit
)

// Object refers to an object of the rule's table, which is there already.
func Object(kind ObjectKind, name string) Part {
	return Part{text: fmt.Sprintf("object %q", name), exprs: []expr.Any{&expr.Objref{Type: int(kind), Name: name}}}
}

// settable are the keys of a connection that a rule can write.
var settable = map[string]expr.CtKey{
	"mark": expr.CtKeyMARK, "label": expr.CtKeyLABELS, "zone": expr.CtKeyZONE, "event": expr.CtKeyEVENTMASK,
}

// CtSet writes to what a connection has under a ct key; a value as the register
// holds it.
func CtSet(key string, value []byte) Part {
	p := Part{text: fmt.Sprintf("ct %s set %#x", key, value), exprs: []expr.Any{
		&expr.Immediate{Register: 1, Data: value},
		&expr.Ct{Key: settable[key], Register: 1, SourceRegister: true},
	}}
	if key == "zone" && len(value) >= 2 {
		p.zone = binary.NativeEndian.Uint16(value)
	}
	return p
}

// The attributes of a timeout policy and of an expectation, of enum
// nft_ct_timeout_timeout_attributes and nft_ct_expectation_attributes in
// include/uapi/linux/netfilter/nf_tables.h.
const (
	timeoutL3Proto = 1
	timeoutL4Proto = 2
	timeoutData    = 3

	expectL3Proto = 1
	expectL4Proto = 2
	expectPort    = 3
	expectTimeout = 4
	expectSize    = 5
)

// TimeoutPolicy are the attributes of a ct timeout object for IPv4: seconds by
// the number of a state, of enum ctattr_timeout_tcp and its like in
// include/uapi/linux/netfilter/nfnetlink_cttimeout.h.
func TimeoutPolicy(l4 uint8, states map[uint16]uint32) []netlink.Attribute {
	var policy []netlink.Attribute
	for state := range uint16(32) {
		if seconds, ok := states[state]; ok {
			policy = append(policy, Attr32(state, seconds))
		}
	}
	data, err := netlink.MarshalAttributes(policy)
	if err != nil {
		panic(fmt.Sprintf("lab: policy of %d timeouts: %v", len(policy), err))
	}
	return []netlink.Attribute{
		{Type: timeoutL3Proto, Data: []byte{0, unix.NFPROTO_IPV4}},
		{Type: timeoutL4Proto, Data: []byte{l4}},
		{Type: unix.NLA_F_NESTED | timeoutData, Data: data},
	}
}

// ExpectationPolicy are the attributes of a ct expectation object for IPv4: of
// what protocol and to which port connections are expected, how long, and how
// many. The kernel takes milliseconds in its own byte order.
func ExpectationPolicy(l4 uint8, port uint16, timeout time.Duration, size uint8) []netlink.Attribute {
	return []netlink.Attribute{
		{Type: expectL3Proto, Data: []byte{0, unix.NFPROTO_IPV4}},
		{Type: expectL4Proto, Data: []byte{l4}},
		{Type: expectPort, Data: []byte{byte(port >> 8), byte(port)}},
		{Type: expectTimeout, Data: native(uint32(timeout.Milliseconds()))},
		{Type: expectSize, Data: []byte{size}},
	}
}

// ZoneOf gives packets of a length that are not yet tracked a zone for one
// direction of their connection: 0 is the original, 1 the reply. The chain must
// be there already.
func (s *Ruleset) ZoneOf(c Chain, length int, direction, zone byte) error {
	s.addZone(uint16(zone))
	return s.Try(c,
		Expression{"meta", []netlink.Attribute{Attr32(unix.NFTA_META_KEY, unix.NFT_META_LEN), Attr32(unix.NFTA_META_DREG, 1)}},
		Expression{"cmp", []netlink.Attribute{
			Attr32(unix.NFTA_CMP_SREG, 1), Attr32(unix.NFTA_CMP_OP, unix.NFT_CMP_EQ), value(unix.NFTA_CMP_DATA, native(uint32(length))),
		}},
		Expression{"immediate", []netlink.Attribute{Attr32(unix.NFTA_IMMEDIATE_DREG, 1), value(unix.NFTA_IMMEDIATE_DATA, []byte{zone, 0})}},
		Expression{"ct", []netlink.Attribute{
			Attr32(unix.NFTA_CT_KEY, unix.NFT_CT_ZONE), Attr32(unix.NFTA_CT_SREG, 1),
			{Type: unix.NFTA_CT_DIRECTION, Data: []byte{direction}},
		}})
}

// value is an attribute that holds bytes for a register.
func value(kind uint16, data []byte) netlink.Attribute {
	inner, err := netlink.MarshalAttributes([]netlink.Attribute{{Type: unix.NFTA_DATA_VALUE, Data: data}})
	if err != nil {
		panic(fmt.Sprintf("lab: %d bytes for a register: %v", len(data), err))
	}
	return netlink.Attribute{Type: unix.NLA_F_NESTED | kind, Data: inner}
}

// CtMark matches connections by their mark.
func CtMark(mark uint32) Part {
	return Part{text: fmt.Sprintf("ct mark %#x", mark), exprs: []expr.Any{
		&expr.Ct{Key: expr.CtKeyMARK, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: native(mark)},
	}}
}
