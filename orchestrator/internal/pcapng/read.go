package pcapng

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"time"
)

// Read reads a capture as Write writes it, or as Wireshark has saved it again:
// blocks and options of other kinds are passed over. Its error says at which byte
// what is wrong.
func Read(r io.Reader) (*Section, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > MaxFile {
		return nil, fmt.Errorf("more than %d bytes", MaxFile)
	}
	s := &Section{}
	for at := 0; at < len(data); {
		kind, body, size, err := cut(data[at:])
		if err == nil {
			err = s.take(kind, body, at == 0)
		}
		if err != nil {
			return nil, fmt.Errorf("block at byte %d: %w", at, err)
		}
		at += size
	}
	if len(data) == 0 {
		return nil, errors.New("empty: no capture")
	}
	return s, nil
}

// cut takes the first block off.
func cut(data []byte) (kind uint32, body []byte, size int, err error) {
	const around = 12
	if len(data) < around {
		return 0, nil, 0, errors.New("cut short")
	}
	kind = binary.LittleEndian.Uint32(data)
	if kind == blockSection && binary.LittleEndian.Uint32(data[8:]) == otherOrder {
		return 0, nil, 0, errors.New("big-endian, which ctmatrix does not write")
	}
	long := binary.LittleEndian.Uint32(data[4:])
	if long < around || long%4 != 0 || long > maxBlock || int(long) > len(data) {
		return 0, nil, 0, fmt.Errorf("length of %d bytes, of %d", long, len(data))
	}
	size = int(long)
	if again := binary.LittleEndian.Uint32(data[size-4:]); again != long {
		return 0, nil, 0, fmt.Errorf("length of %d bytes before and %d after it", long, again)
	}
	return kind, data[8 : size-4], size, nil
}

func (s *Section) take(kind uint32, body []byte, first bool) error {
	switch {
	case first != (kind == blockSection):
		if first {
			return errors.New("not a capture in pcapng")
		}
		return errors.New("another section, and ctmatrix writes one")
	case kind == blockSection:
		return s.section(body)
	case kind == blockInterface:
		return s.interfaces(body)
	case kind == blockPacket:
		return s.packet(body)
	case kind == blockObsolete || kind == blockSimple:
		return fmt.Errorf("packet in a block of type %d, which ctmatrix does not write", kind)
	}
	return nil
}

func (s *Section) section(body []byte) error {
	const head = 16
	if len(body) < head || binary.LittleEndian.Uint32(body) != byteOrder {
		return errors.New("not a capture in pcapng")
	}
	if major := binary.LittleEndian.Uint16(body[4:]); major != majorHere {
		return fmt.Errorf("version %d of pcapng, not %d", major, majorHere)
	}
	return options(body[head:], func(code uint16, value []byte) error {
		switch code {
		case optComment:
			return comment(&s.Comments, value)
		case optOS:
			s.OS = string(value)
		case optApplication:
			s.Application = string(value)
		}
		return nil
	})
}

func (s *Section) interfaces(body []byte) error {
	const head = 8
	if len(body) < head {
		return errors.New("interface cut short")
	}
	if len(s.Interfaces) == maxInterfaces {
		return fmt.Errorf("more than %d interfaces", maxInterfaces)
	}
	i, resolution := Interface{LinkType: binary.LittleEndian.Uint16(body)}, 6
	err := options(body[head:], func(code uint16, value []byte) error {
		switch {
		case code == optName:
			i.Name = string(value)
		case code == optResolution && len(value) == 1:
			resolution = int(value[0])
		}
		return nil
	})
	if err == nil && resolution != nanoseconds {
		err = errors.New("times are not in nanoseconds")
	}
	s.Interfaces = append(s.Interfaces, i)
	return err
}

func (s *Section) packet(body []byte) error {
	const head = 20
	if len(body) < head {
		return errors.New("packet cut short")
	}
	if len(s.Packets) == maxPackets {
		return fmt.Errorf("more than %d packets", maxPackets)
	}
	on := binary.LittleEndian.Uint32(body)
	at := uint64(binary.LittleEndian.Uint32(body[4:]))<<32 | uint64(binary.LittleEndian.Uint32(body[8:]))
	have, whole := binary.LittleEndian.Uint32(body[12:]), binary.LittleEndian.Uint32(body[16:])
	end := head + uint64(have+3)&^3
	switch {
	case int64(on) >= int64(len(s.Interfaces)):
		return fmt.Errorf("packet on interface %d of %d", on, len(s.Interfaces))
	case at > math.MaxInt64:
		return fmt.Errorf("packet at %d ns", at)
	case have > maxData || end > uint64(len(body)):
		return fmt.Errorf("packet of %d bytes in %d", have, len(body))
	case have != whole:
		return fmt.Errorf("packet of which %d of %d bytes are there", have, whole)
	}
	p := Packet{Interface: int(on), At: time.Duration(at), Data: body[head : head+have]}
	err := options(body[end:], func(code uint16, value []byte) error {
		switch {
		case code == optComment:
			return comment(&p.Comments, value)
		case code == optFlags && len(value) == 4:
			p.Direction = Direction(value[0] & 3)
		}
		return nil
	})
	s.Packets = append(s.Packets, p)
	return err
}

// options calls each with the options of a block.
func options(b []byte, each func(code uint16, value []byte) error) error {
	const head = 4
	for len(b) > 0 {
		if len(b) < head {
			return errors.New("option cut short")
		}
		code, size := binary.LittleEndian.Uint16(b), int(binary.LittleEndian.Uint16(b[2:]))
		if code == optEnd {
			return nil
		}
		if head+size > len(b) {
			return fmt.Errorf("option of %d bytes in %d", size, len(b)-head)
		}
		if err := each(code, b[head:head+size]); err != nil {
			return err
		}
		b = b[min(head+(size+3)&^3, len(b)):]
	}
	return nil
}

func comment(list *[]string, value []byte) error {
	if len(*list) == maxComments {
		return fmt.Errorf("more than %d comments", maxComments)
	}
	*list = append(*list, string(value))
	return nil
}
