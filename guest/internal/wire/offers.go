package wire

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// Offers says which options a TCP segment carries, in their order: "mss 1460,
// sack permitted, timestamps, window scale 7". What a timestamp is is left out.
func Offers(s Seen) string {
	options := tcpOptions(s)
	var words []string
	for len(options) > 0 && options[0] != 0 {
		kind := options[0]
		if kind == 1 {
			options = options[1:]
			continue
		}
		if len(options) < 2 || options[1] < 2 || int(options[1]) > len(options) {
			words = append(words, "a wrong length")
			break
		}
		value := options[2:options[1]]
		options = options[options[1]:]
		words = append(words, offer(kind, value))
	}
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ", ")
}

func offer(kind byte, value []byte) string {
	switch {
	case kind == 2 && len(value) == 2:
		return fmt.Sprintf("mss %d", binary.BigEndian.Uint16(value))
	case kind == 3 && len(value) == 1:
		return fmt.Sprintf("window scale %d", value[0])
	case kind == 4:
		return "sack permitted"
	case kind == 8 && len(value) == 8:
		return "timestamps"
	}
	return fmt.Sprintf("option %d", kind)
}

// TimestampOf is the sender's timestamp of a TCP segment and the one that it
// echoes; false if it has none.
func TimestampOf(s Seen) (value, echo uint32, ok bool) {
	if all := TimestampsOf(s); len(all) > 0 {
		return all[0].Value, all[0].Echo, true
	}
	return 0, 0, false
}

// Stamp is a timestamp option of RFC 7323, section 3.
type Stamp struct{ Value, Echo uint32 }

// TimestampsOf are all timestamps of a TCP segment, up to an option that is
// damaged. There should be one at most.
func TimestampsOf(s Seen) []Stamp {
	var all []Stamp
	options := tcpOptions(s)
	for len(options) > 1 && options[0] != 0 {
		switch {
		case options[0] == 1:
			options = options[1:]
			continue
		case options[1] < 2 || int(options[1]) > len(options):
			return all
		case options[0] == 8 && options[1] == 10:
			all = append(all, Stamp{binary.BigEndian.Uint32(options[2:]), binary.BigEndian.Uint32(options[6:])})
		}
		options = options[options[1]:]
	}
	return all
}

// WindowOf is the window of a TCP segment as its header carries it.
func WindowOf(s Seen) uint16 {
	segment := s.Data[headerLen(s.Data):]
	return binary.BigEndian.Uint16(segment[14:])
}

// tcpOptions are the bytes of a TCP segment's options.
func tcpOptions(s Seen) []byte {
	const fixed = 20
	segment := s.Data[headerLen(s.Data):]
	if s.Proto != "tcp" || len(segment) < fixed {
		return nil
	}
	end := int(segment[12]>>4) * 4
	if end < fixed || end > len(segment) {
		return nil
	}
	return segment[fixed:end]
}
