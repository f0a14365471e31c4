package lab

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Key is what a ct expression of nf_tables can say of a packet's connection.
type Key struct {
	Name   string // as nft writes it after "ct"
	Option string // by which a kernel has it
	key    uint32
	dir    uint32 // 0 original, 1 reply, Either
	size   uint32 // bytes of a register
	text   func([]byte) string
}

// tracking is the option of what every kernel has that tracks.
const tracking = "CONFIG_NF_CONNTRACK"

// Keys lists what is asked of a packet's connection, in the order of enum
// nft_ct_keys in include/uapi/linux/netfilter/nf_tables.h. The id of a connection
// is a keyed hash of where it lies, of which only the presence is told.
var Keys = []Key{
	{"state", tracking, unix.NFT_CT_STATE, Either, 4, stateWords},
	{"direction", tracking, unix.NFT_CT_DIRECTION, Either, 1, directionWord},
	{"status", tracking, unix.NFT_CT_STATUS, Either, 4, statusWords},
	{"mark", "CONFIG_NF_CONNTRACK_MARK", unix.NFT_CT_MARK, Either, 4, hexadecimal},
	{"secmark", "CONFIG_NF_CONNTRACK_SECMARK", unix.NFT_CT_SECMARK, Either, 4, hexadecimal},
	{"helper", tracking, unix.NFT_CT_HELPER, Either, 16, unix.ByteSliceToString},
	{"l3proto", tracking, unix.NFT_CT_L3PROTOCOL, Either, 1, decimal},
	{"original proto-src", tracking, unix.NFT_CT_PROTO_SRC, 0, 2, port},
	{"reply proto-src", tracking, unix.NFT_CT_PROTO_SRC, 1, 2, port},
	{"protocol", tracking, unix.NFT_CT_PROTOCOL, Either, 1, decimal},
	{"label", "CONFIG_NF_CONNTRACK_LABELS", unix.NFT_CT_LABELS, Either, 16, labelBits},
	{"packets", tracking, unix.NFT_CT_PKTS, Either, 8, decimal},
	{"original packets", tracking, unix.NFT_CT_PKTS, 0, 8, decimal},
	{"reply bytes", tracking, unix.NFT_CT_BYTES, 1, 8, decimal},
	{"bytes", tracking, unix.NFT_CT_BYTES, Either, 8, decimal},
	{"avgpkt", tracking, unix.NFT_CT_AVGPKT, Either, 8, decimal},
	{"zone", "CONFIG_NF_CONNTRACK_ZONES", unix.NFT_CT_ZONE, Either, 2, decimal},
	{"original ip saddr", tracking, unix.NFT_CT_SRC_IP, 0, 4, address},
	{"reply ip saddr", tracking, unix.NFT_CT_SRC_IP, 1, 4, address},
	{"original ip6 saddr", tracking, unix.NFT_CT_SRC_IP6, 0, 16, address},
	{"id", tracking, unix.NFT_CT_ID, Either, 4, func([]byte) string { return "there" }},
}

// Expiration is the key that says how long a connection is still kept. What it says
// of one that is not in the table yet is nothing (nf_ct_expires in
// include/net/netfilter/nf_conntrack.h takes a time for a moment).
func Expiration(name string) Key {
	return Key{name, tracking, unix.NFT_CT_EXPIRATION, Either, 4, func(b []byte) string {
		return fmt.Sprintf("%.0f s", float64(number(b))/1000)
	}}
}

// Either is the direction of a key that is asked of no direction.
const Either = 2

// CtGet is a ct expression that loads a key into register 1.
func CtGet(key, dir uint32) Expression {
	attrs := []netlink.Attribute{Attr32(unix.NFTA_CT_DREG, 1), Attr32(unix.NFTA_CT_KEY, key)}
	if dir != Either {
		attrs = append(attrs, netlink.Attribute{Type: unix.NFTA_CT_DIRECTION, Data: []byte{byte(dir)}})
	}
	return Expression{"ct", attrs}
}

// Read keeps in sets what the connection of each packet that comes by a chain
// says to each key; Said tells it. A connection that has no answer to a key adds
// nothing. The chain must be there already.
func (s *Ruleset) Read(c Chain, keys ...Key) error {
	table := s.table(c.table, c.family)
	for _, k := range keys {
		typ := nftables.TypeInteger
		typ.Bytes = k.size
		set := &nftables.Set{Table: table, Name: setName(k), KeyType: typ, Dynamic: true, Size: 64}
		if err := s.conn.AddSet(set, nil); err != nil {
			return fmt.Errorf("make set %s: %w", set.Name, err)
		}
	}
	if err := s.conn.Flush(); err != nil {
		return fmt.Errorf("make sets for ct keys: %w", err)
	}
	for _, k := range keys {
		keep := Expression{"dynset", []netlink.Attribute{
			{Type: unix.NFTA_DYNSET_SET_NAME, Data: append([]byte(setName(k)), 0)},
			Attr32(unix.NFTA_DYNSET_OP, uint32(unix.NFT_DYNSET_OP_ADD)),
			Attr32(unix.NFTA_DYNSET_SREG_KEY, 1),
		}}
		if err := s.Try(c, CtGet(k.key, k.dir), keep); err != nil {
			return fmt.Errorf("read ct %s: %w", k.Name, err)
		}
	}
	return nil
}

func setName(k Key) string { return strings.ReplaceAll(k.Name, " ", "-") }

// Said lists what Read kept for a key in the table of a chain, sorted; none where
// no packet's connection had an answer.
func (s *Ruleset) Said(c Chain, k Key) ([]string, error) {
	set := &nftables.Set{Table: s.table(c.table, c.family), Name: setName(k)}
	if s.asker == nil {
		asker, err := nftables.New(nftables.AsLasting())
		if err != nil {
			return nil, fmt.Errorf("open nf_tables netlink: %w", err)
		}
		s.asker = asker
	}
	elements, err := s.asker.GetSetElements(set)
	if err != nil {
		return nil, fmt.Errorf("read set %s: %w", set.Name, err)
	}
	var said []string
	for _, e := range elements {
		said = append(said, k.text(e.Key))
	}
	slices.Sort(said)
	return said, nil
}

func number(b []byte) uint64 {
	var whole [8]byte
	copy(whole[:], b)
	return binary.NativeEndian.Uint64(whole[:]) // of the shorter ones, on little-endian machines
}

func decimal(b []byte) string     { return fmt.Sprint(number(b)) }
func hexadecimal(b []byte) string { return fmt.Sprintf("%#x", number(b)) }
func port(b []byte) string        { return fmt.Sprint(binary.BigEndian.Uint16(b)) }

func address(b []byte) string {
	a, _ := netip.AddrFromSlice(b) // of the length that the set has
	return a.String()
}

func directionWord(b []byte) string { return []string{"original", "reply"}[b[0]&1] }

func stateWords(b []byte) string {
	var words []string
	for _, c := range classes {
		if uint32(number(b))&c.bit != 0 {
			words = append(words, c.name)
		}
	}
	return bitsOr(words)
}

// statusNames are the bits of enum ip_conntrack_status, in their order, of
// include/uapi/linux/netfilter/nf_conntrack_common.h.
var statusNames = []string{
	"expected", "seen-reply", "assured", "confirmed", "src-nat", "dst-nat", "seq-adjust", "src-nat-done",
	"dst-nat-done", "dying", "fixed-timeout", "template", "nat-clash", "helper", "offload", "hw-offload",
}

func statusWords(b []byte) string { return bitsOr(bitNames(number(b), statusNames)) }

func bitNames(bits uint64, names []string) []string {
	var words []string
	for i, name := range names {
		if bits&(1<<i) != 0 {
			words = append(words, name)
		}
	}
	if rest := bits >> len(names); rest != 0 {
		words = append(words, fmt.Sprintf("%#x", rest<<len(names)))
	}
	return words
}

func labelBits(b []byte) string {
	var bits []string
	for i := range len(b) * 8 {
		if b[i/8]&(1<<(i%8)) != 0 {
			bits = append(bits, fmt.Sprint(i))
		}
	}
	return bitsOr(bits)
}

func bitsOr(words []string) string {
	if len(words) == 0 {
		return "no bits"
	}
	return strings.Join(words, "+")
}
