package lab

import (
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// NATPostrouting is the chain of type nat in which sources are translated.
var NATPostrouting = Chain{"nat-postrouting", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, 100, nftables.TableFamilyINet, "ctmatrix"}

// SNAT gives the connections of an IP version another source; only for a chain of
// type nat.
func SNAT(to netip.Addr) Part { return translate("snat", expr.NATTypeSourceNAT, to) }

// DNAT gives the connections of an IP version another destination; only for a
// chain of type nat.
func DNAT(to netip.Addr) Part { return translate("dnat", expr.NATTypeDestNAT, to) }

func translate(word string, typ expr.NATType, to netip.Addr) Part {
	version, family, text := byte(unix.NFPROTO_IPV4), uint32(unix.NFPROTO_IPV4), "ip"
	if to.Is6() {
		version, family, text = unix.NFPROTO_IPV6, unix.NFPROTO_IPV6, "ip6"
	}
	return Part{text: "meta nfproto " + text + " " + word + " to " + to.String(), exprs: []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{version}},
		&expr.Immediate{Register: 1, Data: to.AsSlice()},
		&expr.NAT{Type: typ, Family: family, RegAddrMin: 1},
	}}
}
