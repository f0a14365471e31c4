package suite

import (
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
)

// The attributes of a ct expression, of enum nft_ct_attributes in
// include/uapi/linux/netfilter/nf_tables.h.
func ctKey(k uint32) netlink.Attribute { return lab.Attr32(unix.NFTA_CT_KEY, k) }
func into(reg uint32) netlink.Attribute {
	return lab.Attr32(unix.NFTA_CT_DREG, reg)
}
func from(reg uint32) netlink.Attribute { return lab.Attr32(unix.NFTA_CT_SREG, reg) }
func direction(d byte) netlink.Attribute {
	return netlink.Attribute{Type: unix.NFTA_CT_DIRECTION, Data: []byte{d}}
}

// ctExpressions are ct expressions that differ from a right one in one thing.
// Registers 1 to 4 have 16 bytes each; 8 to 23 are the same by 4 bytes.
var ctExpressions = []struct {
	name  string
	attrs []netlink.Attribute
}{
	{"right", []netlink.Attribute{ctKey(unix.NFT_CT_STATE), into(1)}},
	{"no-key", []netlink.Attribute{into(1)}},
	{"no-register", []netlink.Attribute{ctKey(unix.NFT_CT_STATE)}},
	{"both-ways", []netlink.Attribute{ctKey(unix.NFT_CT_MARK), into(1), from(1)}},
	{"short-key", []netlink.Attribute{{Type: unix.NFTA_CT_KEY, Data: []byte{0, 0}}, into(1)}},
	{"long-key", []netlink.Attribute{{Type: unix.NFTA_CT_KEY, Data: []byte{0, 0, 0, 0, 0, 0, 0, 0}}, into(1)}},
	{"next-key", []netlink.Attribute{ctKey(unix.NFT_CT_ID + 1), into(1)}},
	{"key-255", []netlink.Attribute{ctKey(255), into(1)}},
	{"key-256", []netlink.Attribute{ctKey(256), into(1)}},
	{"key-of-state-and-256", []netlink.Attribute{ctKey(256 + unix.NFT_CT_STATE), into(1)}},
	{"register-verdict", []netlink.Attribute{ctKey(unix.NFT_CT_STATE), into(unix.NFT_REG_VERDICT)}},
	{"register-5", []netlink.Attribute{ctKey(unix.NFT_CT_STATE), into(5)}},
	{"register-last", []netlink.Attribute{ctKey(unix.NFT_CT_STATE), into(unix.NFT_REG32_15)}},
	{"register-past", []netlink.Attribute{ctKey(unix.NFT_CT_STATE), into(unix.NFT_REG32_15 + 1)}},
	{"register-huge", []netlink.Attribute{ctKey(unix.NFT_CT_STATE), into(1 << 31)}},
	{"label-in-last", []netlink.Attribute{ctKey(unix.NFT_CT_LABELS), into(unix.NFT_REG32_15)}},
	{"state-direction", []netlink.Attribute{ctKey(unix.NFT_CT_STATE), into(1), direction(0)}},
	{"mark-direction", []netlink.Attribute{ctKey(unix.NFT_CT_MARK), into(1), direction(1)}},
	{"id-direction", []netlink.Attribute{ctKey(unix.NFT_CT_ID), into(1), direction(0)}},
	{"protocol-direction", []netlink.Attribute{ctKey(unix.NFT_CT_PROTOCOL), into(1), direction(0)}},
	{"protocol-direction-2", []netlink.Attribute{ctKey(unix.NFT_CT_PROTOCOL), into(1), direction(2)}},
	{"bytes-direction-2", []netlink.Attribute{ctKey(unix.NFT_CT_BYTES), into(1), direction(2)}},
	{"bytes-direction-255", []netlink.Attribute{ctKey(unix.NFT_CT_BYTES), into(1), direction(255)}},
	{"label-direction", []netlink.Attribute{ctKey(unix.NFT_CT_LABELS), into(1), direction(0)}},
	{"saddr-inet", []netlink.Attribute{ctKey(unix.NFT_CT_SRC), into(1), direction(0)}},
	{"saddr-no-direction", []netlink.Attribute{ctKey(unix.NFT_CT_SRC), into(1)}},
	{"ip-saddr-no-direction", []netlink.Attribute{ctKey(unix.NFT_CT_SRC_IP), into(1)}},
	{"port-no-direction", []netlink.Attribute{ctKey(unix.NFT_CT_PROTO_SRC), into(1)}},
	{"eventmask-read", []netlink.Attribute{ctKey(unix.NFT_CT_EVENTMASK), into(1)}},
	{"unknown-attribute", []netlink.Attribute{ctKey(unix.NFT_CT_STATE), into(1), lab.Attr32(9, 1)}},
	{"write-mark", []netlink.Attribute{ctKey(unix.NFT_CT_MARK), from(1)}},
	{"write-mark-direction", []netlink.Attribute{ctKey(unix.NFT_CT_MARK), from(1), direction(0)}},
	{"write-mark-unloaded", []netlink.Attribute{ctKey(unix.NFT_CT_MARK), from(4)}},
	{"write-state", []netlink.Attribute{ctKey(unix.NFT_CT_STATE), from(1)}},
	{"write-label", []netlink.Attribute{ctKey(unix.NFT_CT_LABELS), from(1)}},
	{"write-label-direction", []netlink.Attribute{ctKey(unix.NFT_CT_LABELS), from(1), direction(0)}},
	{"write-zone", []netlink.Attribute{ctKey(unix.NFT_CT_ZONE), from(1)}},
	{"write-zone-direction", []netlink.Attribute{ctKey(unix.NFT_CT_ZONE), from(1), direction(1)}},
	{"write-zone-direction-2", []netlink.Attribute{ctKey(unix.NFT_CT_ZONE), from(1), direction(2)}},
	{"write-helper", []netlink.Attribute{ctKey(unix.NFT_CT_HELPER), from(1)}},
	{"write-eventmask-direction", []netlink.Attribute{ctKey(unix.NFT_CT_EVENTMASK), from(1), direction(0)}},
	{"write-verdict", []netlink.Attribute{ctKey(unix.NFT_CT_MARK), from(unix.NFT_REG_VERDICT)}},
	{"write-past", []netlink.Attribute{ctKey(unix.NFT_CT_MARK), from(unix.NFT_REG32_15 + 1)}},
}

// loaded fills register 1 with sixteen bytes, for what reads it.
var loaded = lab.Expression{Name: "immediate", Attrs: []netlink.Attribute{
	lab.Attr32(unix.NFTA_IMMEDIATE_DREG, 1),
	{Type: unix.NLA_F_NESTED | unix.NFTA_IMMEDIATE_DATA, Data: append([]byte{20, 0, unix.NFTA_DATA_VALUE, 0}, make([]byte, 16)...)},
}}

var rulesRefused = []probe.Probe{
	{
		Name:     "rules/expressions",
		Question: "Which ct expressions does the kernel take, and how does it refuse the others: without a key or a register, with a direction where there is none, out of range?",
		Source:   "nft_ct_policy, nft_ct_select_ops, nft_ct_get_init and nft_ct_set_init in nft_ct.c",
		Only:     probe.Initial,
		Run: func(p *probe.P) {
			for _, c := range ctExpressions {
				p.Errno(c.name, p.Box.Rules.Try(lab.ManglePrerouting, loaded, lab.Expression{Name: "ct", Attrs: c.attrs}))
			}
		},
	},
	{
		Name:     "rules/objects",
		Question: "Which timeout policies, expectations and limits does the kernel take as objects for rules, and how does it refuse the others?",
		Source:   "nft_ct_timeout_obj_init, nft_ct_expect_obj_init and nft_ct_helper_obj_init in nft_ct.c; nft_connlimit_do_init in nft_connlimit.c",
		Only:     probe.Initial,
		Needs:    []string{"nft_connlimit"},
		Run: func(p *probe.P) {
			for _, o := range ctObjects {
				p.Errno(o.name, p.Box.Rules.TryObject(lab.ManglePrerouting, o.name, o.kind, o.attrs...))
			}
		},
	},
}

func helperPolicy(name string, l4 byte) []netlink.Attribute {
	return []netlink.Attribute{
		{Type: unix.NFTA_CT_HELPER_NAME, Data: append([]byte(name), 0)},
		{Type: unix.NFTA_CT_HELPER_L3PROTO, Data: []byte{0, unix.NFPROTO_IPV4}},
		{Type: unix.NFTA_CT_HELPER_L4PROTO, Data: []byte{l4}},
	}
}

// The attributes of a limit, of enum nft_connlimit_attributes.
func countPolicy(count, flags uint32) []netlink.Attribute {
	return []netlink.Attribute{lab.Attr32(1, count), lab.Attr32(2, flags)}
}

func expected(l4 uint8, size uint8, timeout time.Duration) []netlink.Attribute {
	return lab.ExpectationPolicy(l4, 8080, timeout, size)
}

var ctObjects = []struct {
	name  string
	kind  lab.ObjectKind
	attrs []netlink.Attribute
}{
	{"timeout-tcp", lab.TimeoutObject, lab.TimeoutPolicy(unix.IPPROTO_TCP, map[uint16]uint32{1: 10})},
	{"timeout-tcp-unknown-state", lab.TimeoutObject, lab.TimeoutPolicy(unix.IPPROTO_TCP, map[uint16]uint32{30: 10})},
	{"timeout-none", lab.TimeoutObject, lab.TimeoutPolicy(unix.IPPROTO_TCP, nil)},
	{"timeout-zero", lab.TimeoutObject, lab.TimeoutPolicy(unix.IPPROTO_UDP, map[uint16]uint32{1: 0})},
	{"timeout-huge", lab.TimeoutObject, lab.TimeoutPolicy(unix.IPPROTO_UDP, map[uint16]uint32{1: 1<<32 - 1})},
	{"timeout-gre", lab.TimeoutObject, lab.TimeoutPolicy(unix.IPPROTO_GRE, map[uint16]uint32{1: 10})},
	{"timeout-sctp", lab.TimeoutObject, lab.TimeoutPolicy(unix.IPPROTO_SCTP, map[uint16]uint32{1: 10})},
	{"timeout-dccp", lab.TimeoutObject, lab.TimeoutPolicy(unix.IPPROTO_DCCP, map[uint16]uint32{1: 10})},
	{"timeout-udplite", lab.TimeoutObject, lab.TimeoutPolicy(unix.IPPROTO_UDPLITE, map[uint16]uint32{1: 10})},
	{"timeout-icmp", lab.TimeoutObject, lab.TimeoutPolicy(unix.IPPROTO_ICMP, map[uint16]uint32{1: 10})},
	{"timeout-generic", lab.TimeoutObject, lab.TimeoutPolicy(255, map[uint16]uint32{1: 10})},
	{"timeout-unknown-proto", lab.TimeoutObject, lab.TimeoutPolicy(253, map[uint16]uint32{1: 10})},
	{"timeout-no-proto", lab.TimeoutObject, lab.TimeoutPolicy(unix.IPPROTO_TCP, map[uint16]uint32{1: 10})[2:]},
	{"timeout-no-data", lab.TimeoutObject, lab.TimeoutPolicy(unix.IPPROTO_TCP, nil)[:2]},
	{"expectation-tcp", lab.ExpectationObject, expected(unix.IPPROTO_TCP, 1, time.Second)},
	{"expectation-size-0", lab.ExpectationObject, expected(unix.IPPROTO_TCP, 0, time.Second)},
	{"expectation-timeout-0", lab.ExpectationObject, expected(unix.IPPROTO_TCP, 1, 0)},
	{"expectation-timeout-huge", lab.ExpectationObject, expected(unix.IPPROTO_TCP, 1, (1<<32-1)*time.Millisecond)},
	{"expectation-udplite", lab.ExpectationObject, expected(unix.IPPROTO_UDPLITE, 1, time.Second)},
	{"expectation-dccp", lab.ExpectationObject, expected(unix.IPPROTO_DCCP, 1, time.Second)},
	{"expectation-icmp", lab.ExpectationObject, expected(unix.IPPROTO_ICMP, 1, time.Second)},
	{"expectation-no-size", lab.ExpectationObject, expected(unix.IPPROTO_TCP, 1, time.Second)[:4]},
	{"helper-unknown", lab.HelperObjectKind, helperPolicy("nobody", unix.IPPROTO_TCP)},
	{"helper-no-proto", lab.HelperObjectKind, helperPolicy("ftp", unix.IPPROTO_TCP)[:2]},
	{"helper-long-name", lab.HelperObjectKind, helperPolicy("a-name-that-is-far-too-long", unix.IPPROTO_TCP)},
	{"count-3", lab.CountObject, countPolicy(3, 1)},
	{"count-again", lab.CountObject, countPolicy(3, 1)},
	{"count-unknown-flag", lab.CountObject, countPolicy(3, 2)},
	{"count-no-flags", lab.CountObject, countPolicy(3, 0)[:1]},
	{"count-nothing", lab.CountObject, countPolicy(3, 0)[1:]},
}
