package ct

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/ti-mo/conntrack"
)

// Expectation is a connection that a helper, or a rule, expects because of what
// was said on another.
type Expectation struct {
	Proto    string
	Src, Dst netip.AddrPort // of the first packet; what may be anything is zero
	Helper   string         // that made it; "" if none is told
	Seconds  uint32         // left to live, rounded down by the kernel
	Flags    []string       // "permanent", "inactive", "userspace"
	Class    uint32
	Zone     uint16
	NAT      bool // it says how to translate the connection
}

// expectFlags are the bits of NF_CT_EXPECT_* in
// include/uapi/linux/netfilter/nf_conntrack_common.h.
var expectFlags = []string{"permanent", "inactive", "userspace"}

// String is the expectation without its time: "tcp 198.19.0.2:any ->
// 198.18.0.2:20000".
func (e Expectation) String() string {
	words := []string{e.Proto, loose(e.Src), "->", loose(e.Dst)}
	if e.Class != 0 {
		words = append(words, fmt.Sprintf("class %d", e.Class))
	}
	if e.Zone != 0 {
		words = append(words, fmt.Sprintf("zone %d", e.Zone))
	}
	words = append(words, e.Flags...)
	if e.NAT {
		words = append(words, "nat")
	}
	return strings.Join(words, " ")
}

// loose is an address and port of which either may be anything.
func loose(a netip.AddrPort) string {
	host, port := "any", "any"
	if a.Addr().IsValid() {
		host = a.Addr().String()
	}
	if a.Port() != 0 {
		port = fmt.Sprint(a.Port())
	}
	return host + ":" + port
}

// Expectations lists what is expected, sorted.
func (t *Table) Expectations() ([]Expectation, error) {
	var out []Expectation
	err := t.list(ExpGet, ExpNew, func(_ []byte, said conntrack.Event) {
		out = append(out, expectation(*said.Expect))
	})
	if err != nil {
		return nil, fmt.Errorf("dump expectations: %w", err)
	}
	slices.SortFunc(out, func(a, b Expectation) int {
		return cmp.Or(strings.Compare(a.String(), b.String()), cmp.Compare(a.Seconds, b.Seconds))
	})
	return out, nil
}

func expectation(x conntrack.Expect) Expectation {
	e := Expectation{
		Proto:   protocol(x.Tuple.Proto.Protocol),
		Src:     masked(x.Tuple.IP.SourceAddress, x.Mask.IP.SourceAddress, x.Tuple.Proto.SourcePort, x.Mask.Proto.SourcePort),
		Dst:     netip.AddrPortFrom(x.Tuple.IP.DestinationAddress, x.Tuple.Proto.DestinationPort),
		Helper:  x.HelpName,
		Seconds: x.Timeout,
		Class:   x.Class,
		Zone:    x.Zone,
		NAT:     x.NAT.Tuple.IP.SourceAddress.IsValid(),
	}
	for i, name := range expectFlags {
		if x.Flags&(1<<i) != 0 {
			e.Flags = append(e.Flags, name)
		}
	}
	return e
}

// masked is a source of which a mask says what counts.
func masked(addr, mask netip.Addr, port, portMask uint16) netip.AddrPort {
	if !mask.IsValid() || mask.IsUnspecified() {
		addr = netip.Addr{}
	}
	return netip.AddrPortFrom(addr, port&portMask)
}
