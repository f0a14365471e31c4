package suite

import (
	"fmt"
	"slices"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
)

// The attributes of the expressions nat, masq and redir, of enum
// nft_nat_attributes and its neighbours in include/uapi/linux/netfilter/nf_tables.h,
// with flags of include/uapi/linux/netfilter/nf_nat.h.
func natType(n uint32) netlink.Attribute   { return lab.Attr32(unix.NFTA_NAT_TYPE, n) }
func natFamily(n uint32) netlink.Attribute { return lab.Attr32(unix.NFTA_NAT_FAMILY, n) }
func natAddr(reg uint32) netlink.Attribute { return lab.Attr32(unix.NFTA_NAT_REG_ADDR_MIN, reg) }
func natPort(reg uint32) netlink.Attribute { return lab.Attr32(unix.NFTA_NAT_REG_PROTO_MIN, reg) }
func natFlags(n uint32) netlink.Attribute  { return lab.Attr32(unix.NFTA_NAT_FLAGS, n) }

const (
	knownFlags  = 1<<7 - 1 // NF_NAT_RANGE_MASK
	unknownFlag = 1 << 7
)

// natExpressions are statements that differ from a right one in one thing, each in
// a chain.
var natExpressions = []struct {
	name  string
	chain lab.Chain
	expr  string
	attrs []netlink.Attribute
}{
	{"snat", lab.NATPostrouting, "nat", []netlink.Attribute{natType(0), natFamily(2), natAddr(1)}},
	{"snat-no-type", lab.NATPostrouting, "nat", []netlink.Attribute{natFamily(2), natAddr(1)}},
	{"snat-type-2", lab.NATPostrouting, "nat", []netlink.Attribute{natType(2), natFamily(2), natAddr(1)}},
	{"snat-no-family", lab.NATPostrouting, "nat", []netlink.Attribute{natType(0), natAddr(1)}},
	{"snat-inet-address", lab.NATPostrouting, "nat", []netlink.Attribute{natType(0), natFamily(1), natAddr(1)}},
	{"snat-inet-port", lab.NATPostrouting, "nat", []netlink.Attribute{natType(0), natFamily(1), natPort(1)}},
	{"snat-bridge-port", lab.NATPostrouting, "nat", []netlink.Attribute{natType(0), natFamily(7), natPort(1)}},
	{"snat-nothing", lab.NATPostrouting, "nat", []netlink.Attribute{natType(0), natFamily(2)}},
	{"snat-only-last", lab.NATPostrouting, "nat", []netlink.Attribute{natType(0), natFamily(2), lab.Attr32(unix.NFTA_NAT_REG_ADDR_MAX, 1)}},
	{"snat-known-flags", lab.NATPostrouting, "nat", []netlink.Attribute{natType(0), natFamily(2), natAddr(1), natFlags(knownFlags)}},
	{"snat-unknown-flag", lab.NATPostrouting, "nat", []netlink.Attribute{natType(0), natFamily(2), natAddr(1), natFlags(unknownFlag)}},
	{"snat-unloaded", lab.NATPostrouting, "nat", []netlink.Attribute{natType(0), natFamily(2), natAddr(4)}},
	{"snat-verdict", lab.NATPostrouting, "nat", []netlink.Attribute{natType(0), natFamily(2), natAddr(unix.NFT_REG_VERDICT)}},
	{"snat-past-registers", lab.NATPostrouting, "nat", []netlink.Attribute{natType(0), natFamily(10), natAddr(unix.NFT_REG32_15)}},
	{"snat-prerouting", lab.NATPrerouting, "nat", []netlink.Attribute{natType(0), natFamily(2), natAddr(1)}},
	{"snat-input", lab.NATInput, "nat", []netlink.Attribute{natType(0), natFamily(2), natAddr(1)}},
	{"snat-filter-chain", lab.Postrouting, "nat", []netlink.Attribute{natType(0), natFamily(2), natAddr(1)}},
	{"dnat", lab.NATPrerouting, "nat", []netlink.Attribute{natType(1), natFamily(2), natAddr(1)}},
	{"dnat-postrouting", lab.NATPostrouting, "nat", []netlink.Attribute{natType(1), natFamily(2), natAddr(1)}},
	{"dnat-output", lab.NATOutput, "nat", []netlink.Attribute{natType(1), natFamily(2), natAddr(1)}},
	{"masquerade", lab.NATPostrouting, "masq", nil},
	{"masquerade-prerouting", lab.NATPrerouting, "masq", nil},
	{"masquerade-filter-chain", lab.Postrouting, "masq", nil},
	{"masquerade-unknown-flag", lab.NATPostrouting, "masq", []netlink.Attribute{lab.Attr32(unix.NFTA_MASQ_FLAGS, unknownFlag)}},
	{"masquerade-only-last-port", lab.NATPostrouting, "masq", []netlink.Attribute{lab.Attr32(unix.NFTA_MASQ_REG_PROTO_MAX, 1)}},
	{"redirect", lab.NATPrerouting, "redir", nil},
	{"redirect-postrouting", lab.NATPostrouting, "redir", nil},
	{"redirect-input", lab.NATInput, "redir", nil},
	{"redirect-output", lab.NATOutput, "redir", nil},
	{"redirect-unknown-flag", lab.NATPrerouting, "redir", []netlink.Attribute{lab.Attr32(unix.NFTA_REDIR_FLAGS, unknownFlag)}},
}

// natChains are hooks and priorities that a chain of type nat may hang at, or not.
var natChains = []struct {
	name     string
	hook     lab.Hook
	priority int
}{
	{"prerouting", lab.HookPrerouting, -100},
	{"input", lab.HookInput, 100},
	{"output", lab.HookOutput, -100},
	{"forward", lab.HookForward, 0},
	{"with-tracking", lab.HookPrerouting, -200},
	{"after-tracking", lab.HookPrerouting, -199},
	{"last", lab.HookPostrouting, 1<<31 - 1},
}

var natRefused = probe.Probe{
	Name:     "nat/statements",
	Question: "Which translations and chains of type nat does the kernel take, and how does it refuse the others: at the wrong hook, of no range, with a flag that there is none of?",
	Source:   "nft_nat_init, nft_nat_validate, nft_masq_init and nft_redir_init; nft_chain_parse_hook in nf_tables_api.c",
	Only:     probe.Initial,
	Needs:    append(slices.Clone(nat), "nft_masq", "nft_redir"),
	Run: func(p *probe.P) {
		p.Add(lab.On(lab.NATPrerouting), lab.On(lab.NATInput), lab.On(lab.NATOutput), lab.On(lab.NATPostrouting), lab.On(lab.Postrouting))
		for _, c := range natExpressions {
			p.Errno(c.name, p.Box.Rules.Try(c.chain, loaded, lab.Expression{Name: c.expr, Attrs: c.attrs}))
		}
		for _, c := range natChains {
			p.Errno(fmt.Sprintf("chain-%s", c.name), p.Box.Rules.Add(lab.On(lab.NATChain(c.hook, c.priority))))
		}
	},
}
