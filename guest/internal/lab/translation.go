package lab

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Chains of type nat besides those of forwarded packets: what the box sends, and
// what it takes.
var (
	NATOutput = Chain{"nat-output", nftables.ChainTypeNAT, nftables.ChainHookOutput, -100, nftables.TableFamilyINet, "ctmatrix"}
	NATInput  = Chain{"nat-input", nftables.ChainTypeNAT, nftables.ChainHookInput, 100, nftables.TableFamilyINet, "ctmatrix"}
)

// NATChain is a chain of type nat at a hook and a priority of any choice, which
// the kernel may refuse.
func NATChain(hook Hook, priority int) Chain {
	return Chain{fmt.Sprintf("nat-%d-%d", hook, priority), nftables.ChainTypeNAT,
		nftables.ChainHookRef(nftables.ChainHook(hook)), nftables.ChainPriority(priority), nftables.TableFamilyINet, "ctmatrix"}
}

// Translation is what a statement of nft_nat says, but for which end it is about.
// Of addresses and ports there may be none, one, or a range, both ends included.
type Translation struct {
	From, To  netip.Addr
	Low, High uint16

	Random, FullyRandom, Persistent bool
	// Netmap keeps the bits of an address below the prefix that From and To are
	// the ends of.
	Netmap bool
}

// SNAT makes the statement about sources.
func (t Translation) SNAT() Part { return t.part("snat", expr.NATTypeSourceNAT) }

// DNAT makes the statement about destinations.
func (t Translation) DNAT() Part { return t.part("dnat", expr.NATTypeDestNAT) }

// part uses a register for each end of each range. Without an address it is for
// both IP versions, which takes family inet (nft_nat_inet_eval in nft_nat.c).
func (t Translation) part(word string, typ expr.NATType) Part {
	var exprs []expr.Any
	nat := &expr.NAT{
		Type: typ, Family: unix.NFPROTO_INET,
		Random: t.Random, FullyRandom: t.FullyRandom, Persistent: t.Persistent, Prefix: t.Netmap,
	}
	text := word + t.String()
	load := func(data []byte) uint32 {
		reg := uint32(len(exprs) + 1)
		exprs = append(exprs, &expr.Immediate{Register: reg, Data: data})
		return reg
	}
	if t.From.IsValid() {
		nat.RegAddrMin = load(t.From.AsSlice())
	}
	if t.To.IsValid() {
		nat.RegAddrMax = load(t.To.AsSlice())
	}
	if t.Low != 0 {
		nat.RegProtoMin = load([]byte{byte(t.Low >> 8), byte(t.Low)})
	}
	if t.High != 0 {
		nat.RegProtoMax = load([]byte{byte(t.High >> 8), byte(t.High)})
	}
	if t.From.IsValid() {
		family := byte(unix.NFPROTO_IPV4)
		if t.From.Is6() {
			family = unix.NFPROTO_IPV6
		}
		nat.Family = uint32(family)
		exprs = append([]expr.Any{
			&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{family}},
		}, exprs...)
	}
	return Part{text: text, exprs: append(exprs, nat)}
}

// String is what nft writes behind the word.
func (t Translation) String() string {
	var b strings.Builder
	if t.From.IsValid() || t.Low != 0 {
		b.WriteString(" to ")
	}
	if t.From.IsValid() {
		b.WriteString(t.From.String())
	}
	if t.To.IsValid() {
		b.WriteString("-" + t.To.String())
	}
	if t.Low != 0 {
		fmt.Fprintf(&b, ":%d", t.Low)
	}
	if t.High != 0 {
		fmt.Fprintf(&b, "-%d", t.High)
	}
	for _, f := range []struct {
		set  bool
		word string
	}{{t.Random, "random"}, {t.FullyRandom, "fully-random"}, {t.Persistent, "persistent"}, {t.Netmap, "prefix"}} {
		if f.set {
			b.WriteString(" " + f.word)
		}
	}
	return b.String()
}

// Masquerade gives connections the address of the device that they leave by as
// their source.
func Masquerade() Part { return masquerade("masquerade", &expr.Masq{}) }

// MasqueradeRandom is Masquerade with ports drawn at random, in either of the two
// ways that can be asked for.
func MasqueradeRandom(fully bool) Part {
	if fully {
		return masquerade("masquerade fully-random", &expr.Masq{FullyRandom: true})
	}
	return masquerade("masquerade random", &expr.Masq{Random: true})
}

func masquerade(text string, m *expr.Masq) Part { return Part{text: text, exprs: []expr.Any{m}} }

// RedirectRange sends a connection to one of several ports of the box.
func RedirectRange(low, high uint16) Part {
	return Part{text: fmt.Sprintf("redirect to :%d-%d", low, high), exprs: []expr.Any{
		&expr.Immediate{Register: 1, Data: []byte{byte(low >> 8), byte(low)}},
		&expr.Immediate{Register: 2, Data: []byte{byte(high >> 8), byte(high)}},
		&expr.Redir{RegisterProtoMin: 1, RegisterProtoMax: 2},
	}}
}

// ToAddr matches packets that go to an address, and FromAddr those that come from
// one.
func ToAddr(a netip.Addr) Part { return addressed("daddr", a, 16, 24) }

// FromAddr is described at ToAddr.
func FromAddr(a netip.Addr) Part { return addressed("saddr", a, 12, 8) }

// addressed looks at where the headers of the two IP versions have an address.
func addressed(word string, a netip.Addr, at4, at6 uint32) Part {
	family, text, at := byte(unix.NFPROTO_IPV4), "ip", at4
	if a.Is6() {
		family, text, at = unix.NFPROTO_IPV6, "ip6", at6
	}
	return Part{text: fmt.Sprintf("%s %s %s", text, word, a), exprs: []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{family}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: at, Len: uint32(len(a.AsSlice()))},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: a.AsSlice()},
	}}
}

// AfterNAT is where packets are that leave when their source is translated, just
// before their entry goes into the table.
var AfterNAT = inet("after-nat", nftables.ChainHookPostrouting, 200)
