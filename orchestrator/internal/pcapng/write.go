package pcapng

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Write writes a capture. Its error is of w, or says what the format has no room
// for.
func Write(w io.Writer, s *Section) error {
	var out writer
	head := binary.LittleEndian.AppendUint32(nil, byteOrder)
	head = binary.LittleEndian.AppendUint16(head, majorHere)
	head = binary.LittleEndian.AppendUint16(head, 0)
	head = binary.LittleEndian.AppendUint64(head, 1<<64-1) // of unknown length
	out.block(blockSection, head, texts(optComment, s.Comments...), text(optOS, s.OS), text(optApplication, s.Application))
	for _, i := range s.Interfaces {
		head := binary.LittleEndian.AppendUint16(nil, i.LinkType)
		head = append(head, make([]byte, 6)...) // no limit on the size of packets
		out.block(blockInterface, head, text(optName, i.Name), []option{{optResolution, []byte{nanoseconds}}})
	}
	for n, p := range s.Packets {
		if p.Interface < 0 || p.Interface >= len(s.Interfaces) || p.At < 0 || len(p.Data) > maxData {
			return fmt.Errorf("write packet %d: interface %d, time %d, %d bytes", n+1, p.Interface, p.At, len(p.Data))
		}
		head := binary.LittleEndian.AppendUint32(nil, uint32(p.Interface))
		head = binary.LittleEndian.AppendUint32(head, uint32(uint64(p.At)>>32))
		head = binary.LittleEndian.AppendUint32(head, uint32(uint64(p.At)))
		head = binary.LittleEndian.AppendUint32(head, uint32(len(p.Data)))
		head = binary.LittleEndian.AppendUint32(head, uint32(len(p.Data)))
		head = append(head, p.Data...)
		var flags []option
		if p.Direction != Unknown {
			flags = []option{{optFlags, binary.LittleEndian.AppendUint32(nil, uint32(p.Direction))}}
		}
		out.block(blockPacket, padded(head), flags, texts(optComment, p.Comments...))
	}
	if out.err != nil {
		return out.err
	}
	_, err := w.Write(out.buf)
	return err
}

// writer collects blocks, up to the first that there is no room for.
type writer struct {
	buf []byte
	err error
}

type option struct {
	code  uint16
	value []byte
}

// text is an option, unless it is empty.
func text(code uint16, value string) []option {
	if value == "" {
		return nil
	}
	return texts(code, value)
}

func texts(code uint16, values ...string) []option {
	var out []option
	for _, v := range values {
		out = append(out, option{code, []byte(v)})
	}
	return out
}

func (w *writer) block(kind uint32, head []byte, options ...[]option) {
	const around = 12 // type, and length before and after
	body := head
	some := false
	for _, list := range options {
		for _, o := range list {
			if len(o.value) > maxOption && w.err == nil {
				w.err = fmt.Errorf("write block %#x: option of %d bytes", kind, len(o.value))
			}
			body = binary.LittleEndian.AppendUint16(body, o.code)
			body = binary.LittleEndian.AppendUint16(body, uint16(len(o.value)))
			body = padded(append(body, o.value...))
			some = true
		}
	}
	if some {
		body = append(body, 0, 0, 0, 0) // optEnd
	}
	size := around + len(body)
	if size > maxBlock && w.err == nil {
		w.err = fmt.Errorf("write block %#x: %d bytes, more than %d", kind, size, maxBlock)
	}
	w.buf = binary.LittleEndian.AppendUint32(w.buf, kind)
	w.buf = binary.LittleEndian.AppendUint32(w.buf, uint32(size))
	w.buf = append(w.buf, body...)
	w.buf = binary.LittleEndian.AppendUint32(w.buf, uint32(size))
}

// padded fills up to a multiple of four bytes. Heads are such multiples, so that
// what a value needs is what the whole needs.
func padded(b []byte) []byte { return append(b, make([]byte, -len(b)&3)...) }
