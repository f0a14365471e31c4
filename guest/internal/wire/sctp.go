package wire

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// The chunks of an association that is open.
const (
	SCTPData Chunk = 0
	SCTPSack Chunk = 3
	SCTPErr  Chunk = 9
)

// TBit is the flag by which an ABORT or a SHUTDOWN COMPLETE says that it carries
// the receiver's own tag, RFC 9260, section 8.5.1.
const TBit = 1

// SCTPChunk is a chunk as it goes over the wire. A nil value is of the least
// length that the type has.
type SCTPChunk struct {
	Type  Chunk
	Flags byte
	Value []byte
}

// InitOf is an INIT or INIT ACK that asks for a verification tag.
func InitOf(chunk Chunk, tag uint32) SCTPChunk {
	return SCTPChunk{Type: chunk, Value: initValue(tag)}
}

// SCTPBundle makes a packet of several chunks.
func SCTPBundle(from, to netip.AddrPort, tag uint32, chunks ...SCTPChunk) Packet {
	var b []byte
	for _, c := range chunks {
		value := c.Value
		if value == nil {
			value = leastValue(c.Type)
		}
		b = append(b, byte(c.Type), c.Flags)
		b = binary.BigEndian.AppendUint16(b, uint16(4+len(value)))
		b = append(b, value...)
		b = append(b, make([]byte, -len(b)&3)...)
	}
	sctp := &layers.SCTP{SrcPort: layers.SCTPPort(from.Port()), DstPort: layers.SCTPPort(to.Port()), VerificationTag: tag}
	return over(from.Addr(), to.Addr(), layers.IPProtocolSCTP, sctp, gopacket.Payload(b))
}

func leastValue(chunk Chunk) []byte {
	switch chunk {
	case SCTPData:
		return append(make([]byte, 12), "data"...) // TSN, stream, sequence, protocol
	case SCTPSack:
		return make([]byte, 12)
	case Init, InitAck:
		return initValue(InitTag)
	case Shutdown, CookieEcho:
		return make([]byte, 4) // TSN, or a cookie
	}
	return []byte{}
}

func initValue(tag uint32) []byte {
	value := binary.BigEndian.AppendUint32(nil, tag)
	value = binary.BigEndian.AppendUint32(value, 65535) // window
	value = binary.BigEndian.AppendUint16(value, 1)     // streams out
	value = binary.BigEndian.AppendUint16(value, 1)     // streams in
	return slices.Clip(binary.BigEndian.AppendUint32(value, 1))
}
