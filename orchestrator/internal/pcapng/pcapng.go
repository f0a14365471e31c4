// Package pcapng writes and reads captures in the format of Wireshark
// (draft-ietf-opsawg-pcapng): one section, little-endian, times in nanoseconds,
// any number of comments on each packet. It is pure, and believes nothing that it
// reads.
package pcapng

import "time"

// Section is a capture.
type Section struct {
	Comments    []string
	OS          string // that the packets were captured on
	Application string // that captured them
	Interfaces  []Interface
	Packets     []Packet // of the interfaces above, in the order of the file
}

// Interface is what packets were captured on.
type Interface struct {
	Name     string
	LinkType uint16 // LINKTYPE_*
}

// The link types that ctmatrix writes: https://www.tcpdump.org/linktypes.html.
const (
	LinkEthernet = 1
	LinkRaw      = 101 // begins with the header of IPv4 or IPv6
)

// Direction is which way a packet went, as the interface sees it.
type Direction uint8

// The directions, by their value in epb_flags.
const (
	Unknown  Direction = 0
	Inbound  Direction = 1
	Outbound Direction = 2
)

// Packet is one packet. Its data is all of it: what was cut off is no packet here.
type Packet struct {
	Interface int           // index
	At        time.Duration // since the epoch that the capture has
	Direction Direction
	Data      []byte
	Comments  []string
}

// Bounds on what is written and read.
const (
	MaxFile       = 64 << 20 // bytes
	maxBlock      = 16 << 20 // bytes
	maxData       = 1 << 18  // bytes of a packet, MAXIMUM_SNAPLEN of most programs
	maxOption     = 1<<16 - 1
	maxInterfaces = 1 << 10
	maxPackets    = 1 << 20
	maxComments   = 1 << 17 // on one packet, or on the section
)

// Types of blocks, and what is in their heads.
const (
	blockSection   = 0x0a0d0d0a
	blockInterface = 1
	blockObsolete  = 2 // a packet of old
	blockSimple    = 3 // a packet without a time
	blockPacket    = 6

	byteOrder  = 0x1a2b3c4d
	otherOrder = 0x4d3c2b1a
	majorHere  = 1
)

// Codes of options.
const (
	optEnd         = 0
	optComment     = 1
	optOS          = 3 // of a section
	optApplication = 4 // of a section
	optName        = 2 // of an interface
	optResolution  = 9 // of an interface
	optFlags       = 2 // of a packet

	nanoseconds = 9 // as if_tsresol has it: 10^-9 s
)
