package wire

import (
	"encoding/binary"
	"net/netip"
	"testing"
)

// Chunks stand behind each other with lengths that leave out what pads them.
func TestSCTPBundle(t *testing.T) {
	p := SCTPBundle(netip.MustParseAddrPort("198.18.0.2:10000"), netip.MustParseAddrPort("198.19.0.2:9"), 7,
		InitOf(Init, 0x1234), SCTPChunk{Type: SCTPErr, Flags: TBit, Value: []byte{1, 2, 3}}, SCTPChunk{Type: CookieAck})
	segment := p.Segment()
	if tag := binary.BigEndian.Uint32(segment[4:]); tag != 7 {
		t.Errorf("tag %d, want 7", tag)
	}
	if !Intact(parsed(t, p)) {
		t.Error("its checksum is wrong")
	}
	chunks := segment[12:]
	for i, want := range []struct {
		kind   Chunk
		flags  byte
		length uint16
	}{{Init, 0, 20}, {SCTPErr, TBit, 7}, {CookieAck, 0, 4}} {
		if len(chunks) < 4 {
			t.Fatalf("chunk %d is missing", i)
		}
		length := binary.BigEndian.Uint16(chunks[2:])
		if Chunk(chunks[0]) != want.kind || chunks[1] != want.flags || length != want.length {
			t.Errorf("chunk %d is type %d with flags %d of %d bytes, want %+v", i, chunks[0], chunks[1], length, want)
		}
		if i == 0 && binary.BigEndian.Uint32(chunks[4:]) != 0x1234 {
			t.Error("INIT asks for another tag")
		}
		chunks = chunks[min((int(length)+3)&^3, len(chunks)):]
	}
	if len(chunks) > 0 {
		t.Errorf("%d bytes behind the last chunk", len(chunks))
	}
}
