package lab

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Chain is a place in the packet's path where rules hang. A table of its own
// for each family keeps them apart from anything else in the namespace.
type Chain struct {
	name     string
	typ      nftables.ChainType
	hook     *nftables.ChainHook
	priority nftables.ChainPriority
	family   nftables.TableFamily
	table    string
}

// The places, by the names and priorities of
// include/uapi/linux/netfilter_ipv4.h: fragments are put together at -400,
// tracking happens at -200, between raw and mangle.
var (
	BeforeDefrag     = inet("before-defrag", nftables.ChainHookPrerouting, -450)
	RawPrerouting    = inet("raw-prerouting", nftables.ChainHookPrerouting, -300)
	ManglePrerouting = inet("mangle-prerouting", nftables.ChainHookPrerouting, -150)
	MangleInput      = inet("mangle-input", nftables.ChainHookInput, -150)
	FilterInput      = inet("filter-input", nftables.ChainHookInput, 0)
	FilterForward    = inet("filter-forward", nftables.ChainHookForward, 0)
	Postrouting      = inet("mangle-postrouting", nftables.ChainHookPostrouting, -150)
	RawOutput        = inet("raw-output", nftables.ChainHookOutput, -300)
	FilterOutput     = inet("filter-output", nftables.ChainHookOutput, 0)

	// NATPrerouting is a chain of type nat. It may be empty: that it is there
	// is enough for a namespace to track.
	NATPrerouting = Chain{"nat-prerouting", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, -100, nftables.TableFamilyINet, "ctmatrix"}

	// BridgeForward is where a bridge forwards frames.
	BridgeForward = Chain{"bridge-forward", nftables.ChainTypeFilter, nftables.ChainHookForward, 0, nftables.TableFamilyBridge, "ctmatrix"}

	// XtRawPrerouting takes x_tables extensions through nft_compat. Some of
	// them insist on the family and on the name of the table.
	XtRawPrerouting = Chain{"PREROUTING", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, -300, nftables.TableFamilyIPv4, "raw"}
)

func inet(name string, hook *nftables.ChainHook, priority nftables.ChainPriority) Chain {
	return Chain{name, nftables.ChainTypeFilter, hook, priority, nftables.TableFamilyINet, "ctmatrix"}
}

// OtherTable is the same place in a table of its own.
func OtherTable(c Chain) Chain {
	c.table += "-other"
	return c
}

// Part is one statement of a rule: what a reader sees, and what the kernel gets.
type Part struct {
	text   string
	exprs  []expr.Any
	meter  string                                // the counter's name, for a statement that counts
	zone   uint16                                // that it puts packets into, or 0
	object func(*nftables.Conn, *nftables.Table) // makes what the rule refers to
}

// Rule is a chain and the statements of one rule in it, in order. A rule with
// none makes the chain exist.
type Rule struct {
	Chain Chain
	Parts []Part
}

// On makes a rule.
func On(c Chain, parts ...Part) Rule { return Rule{c, parts} }

// String is the rule as nft would write it, after the chain's name.
func (r Rule) String() string {
	words := []string{r.Chain.name + ":"}
	for _, p := range r.Parts {
		words = append(words, p.text)
	}
	if len(r.Parts) == 0 {
		words = append(words, "(no rule)")
	}
	return strings.Join(words, " ")
}

func (r Rule) meter() string {
	for _, p := range r.Parts {
		if p.meter != "" {
			return p.meter
		}
	}
	return ""
}

// Statements.
var (
	Drop    = Part{text: "drop", exprs: []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}}}
	Accept  = Part{text: "accept", exprs: []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}}}
	Notrack = Part{text: "notrack", exprs: []expr.Any{&expr.Notrack{}}}

	RejectReset = Part{text: "reject with tcp reset", exprs: []expr.Any{
		&expr.Reject{Type: unix.NFT_REJECT_TCP_RST}}}
)

// Meter counts packets under a name that Box.Meters reports.
func Meter(name string) Part {
	return Part{text: "counter", exprs: []expr.Any{&expr.Counter{}}, meter: name}
}

// In matches the device a packet came in by.
func In(l string) Part { return iface("iifname", expr.MetaKeyIIFNAME, l) }

// Out matches the device a packet goes out by.
func Out(l string) Part { return iface("oifname", expr.MetaKeyOIFNAME, l) }

func iface(word string, key expr.MetaKey, name string) Part {
	padded := make([]byte, unix.IFNAMSIZ)
	copy(padded, name)
	return Part{text: fmt.Sprintf("%s %q", word, name), exprs: []expr.Any{
		&expr.Meta{Key: key, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: padded},
	}}
}

// Proto matches the transport protocol: "tcp", "udp" or "icmp".
func Proto(name string) Part {
	number := map[string]byte{"tcp": unix.IPPROTO_TCP, "udp": unix.IPPROTO_UDP, "icmp": unix.IPPROTO_ICMP}[name]
	return Part{text: "meta l4proto " + name, exprs: []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{number}},
	}}
}

// Version matches the version of IP by its family: unix.NFPROTO_IPV4 or _IPV6.
func Version(family byte) Part {
	return Part{text: "meta nfproto " + families[family], exprs: []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{family}},
	}}
}

// Dport matches the destination port; put a Proto before it.
func Dport(port uint16) Part { return portMatch("dport", 2, port) }

// Sport matches the source port; put a Proto before it.
func Sport(port uint16) Part { return portMatch("sport", 0, port) }

func portMatch(word string, offset uint32, port uint16) Part {
	return Part{text: fmt.Sprintf("th %s %d", word, port), exprs: []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{byte(port >> 8), byte(port)}},
	}}
}

// Length matches packets by their bytes, from the IP header on.
func Length(bytes int) Part {
	return Part{text: fmt.Sprintf("meta length %d", bytes), exprs: []expr.Any{
		&expr.Meta{Key: expr.MetaKeyLEN, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: native(uint32(bytes))},
	}}
}

// PacketMark matches the mark of a packet.
func PacketMark(mark uint32) Part {
	return Part{text: fmt.Sprintf("meta mark %#x", mark), exprs: []expr.Any{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: native(mark)},
	}}
}

// PacketPriority matches the priority of a packet.
func PacketPriority(priority uint32) Part {
	return Part{text: fmt.Sprintf("meta priority %d", priority), exprs: []expr.Any{
		&expr.Meta{Key: expr.MetaKeyPRIORITY, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: native(priority)},
	}}
}

// FirstFragment matches an IPv4 packet that is a fragment at offset 0 and not the
// last: more fragments, and no offset.
var FirstFragment = Part{text: "ip frag-off & 0x3fff == 0x2000", exprs: []expr.Any{
	&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 6, Len: 2},
	&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 2, Mask: []byte{0x3f, 0xff}, Xor: []byte{0, 0}},
	&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{0x20, 0}},
}}

// RateOver matches what exceeds burst packets at once. The rate is one a
// minute, so that no token comes back while a probe runs.
func RateOver(burst uint32) Part {
	return Part{text: fmt.Sprintf("limit rate over 1/minute burst %d packets", burst), exprs: []expr.Any{
		&expr.Limit{Type: expr.LimitTypePkts, Rate: 1, Unit: expr.LimitTimeMinute, Burst: burst, Over: true},
	}}
}

// The classes that tracking sorts packets into, as `ct state` names them.
var classes = []struct {
	name string
	bit  uint32
}{
	{"new", expr.CtStateBitNEW},
	{"established", expr.CtStateBitESTABLISHED},
	{"related", expr.CtStateBitRELATED},
	{"invalid", expr.CtStateBitINVALID},
	{"untracked", expr.CtStateBitUNTRACKED},
}

// ClassNames lists the classes in the order they are printed.
func ClassNames() []string {
	var names []string
	for _, c := range classes {
		names = append(names, c.name)
	}
	return names
}

// CtState matches the class of a packet. Any rule with a ct expression makes
// the namespace track (nft_ct_get_init in net/netfilter/nft_ct.c).
func CtState(class string) Part {
	var mask uint32
	for _, c := range classes {
		if c.name == class {
			mask = c.bit
		}
	}
	if mask == 0 {
		panic("lab: no class " + class)
	}
	return Part{text: "ct state " + class, exprs: []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: native(mask), Xor: native(0)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: native(0)},
	}}
}

// Counting are the meters that every packet experiment has: packets that come
// in by device dev just before tracking ("raw") and just after it ("mangle").
// They do not make a namespace track.
func Counting(dev string) []Rule {
	return []Rule{
		On(RawPrerouting, In(dev), Meter("raw")),
		On(ManglePrerouting, In(dev), Meter("mangle")),
	}
}

// Classing are meters for each class, named "class.new" and so on, after
// tracking, of what comes in by device dev, or by any if dev is empty. They make
// a namespace track.
func Classing(dev string) []Rule {
	var from []Part
	if dev != "" {
		from = []Part{In(dev)}
	}
	var rules []Rule
	for _, c := range classes {
		rules = append(rules, On(ManglePrerouting, append(slices.Clone(from), CtState(c.name), Meter("class."+c.name))...))
	}
	return rules
}
