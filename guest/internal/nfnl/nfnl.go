// Package nfnl speaks nfnetlink as it is on the wire: for requests that no library
// would send, and for answers of which none would tell all
// (include/uapi/linux/netfilter/nfnetlink.h).
package nfnl

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Conn is a connection to the subsystems of the network namespace of the thread
// that made it. It is used by one goroutine.
type Conn struct {
	fd   int
	buf  *[1 << 16]byte
	most int // bytes of a read

	short bool // read more at once when a list turns out to be long
}

// Sizes of reads of lists that are short, and of those that turn out not to be. The
// kernel puts as much of a list into a datagram as fits a page beside what it keeps of
// the datagram itself (NLMSG_GOODSIZE in include/linux/netlink.h), or as much as a
// reader had room for, and makes room in powers of two.
const (
	kept     = 320 // struct skb_shared_info
	pageRead = 4<<10 - kept
	widePage = 8 << 10 // where pages are larger than 4 KiB
	longRead = 16<<10 - kept
)

// buffers are those of connections that were closed: a new one is all zeros, which
// takes longer than most requests do.
var buffers = sync.Pool{New: func() any { return new([1 << 16]byte) }}

// Dial connects, and listens to groups of NFNLGRP_*, if any.
func Dial(groups ...int) (*Conn, error) {
	c, err := DialProtocol(unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, err
	}
	for _, g := range groups {
		if err := c.Set(unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, g); err != nil {
			return nil, errors.Join(fmt.Errorf("listen to netfilter netlink: %w", err), c.Close())
		}
	}
	return c, nil
}

// DialProtocol connects to another protocol of netlink, whose acknowledgements are
// the same: NETLINK_*.
func DialProtocol(protocol int) (*Conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	c := &Conn{fd: fd, buf: buffers.Get().(*[1 << 16]byte)}
	c.most = len(c.buf)
	// The kernel answers before a request returns, so that a wait for an answer
	// means that something is wrong.
	err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5})
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open netlink: %w", err), c.Close())
	}
	return c, nil
}

// Short has the connection read no more than a page at once, until a list is longer,
// which is for short answers. The kernel makes room for as much of a list as a reader
// ever had room for (netlink_dump in net/netlink/af_netlink.c), and clears it, which is
// most of the work.
func (c *Conn) Short() *Conn {
	c.most, c.short = widePage, true
	if os.Getpagesize() == 4<<10 {
		c.most = pageRead
	}
	return c
}

// Close ends the connection. What it last read is not to be used any more.
func (c *Conn) Close() error {
	buffers.Put(c.buf)
	return unix.Close(c.fd)
}

// Set sets an option of the socket.
func (c *Conn) Set(level, option, value int) error {
	return unix.SetsockoptInt(c.fd, level, option, value)
}

// Send sends messages, one behind the other in one datagram.
func (c *Conn) Send(messages []byte) error {
	_, err := unix.Write(c.fd, messages)
	return err
}

// Answers reads up to the end of a list, or to the answer to a message that asked
// for one, and calls each with what comes before. Its error is each's, or the
// kernel's errno. The kernel goes on with a list only as it is read.
func (c *Conn) Answers(each func(Message) error) error {
	for datagrams := 1; ; datagrams++ {
		b, err := c.receive()
		if err != nil {
			return err
		}
		if done, err := Messages(b, each); done || err != nil {
			return err
		}
		if c.short && datagrams > 1 {
			c.short, c.most = false, longRead
		}
	}
}

// List sends a request for a list and appends to b what the kernel answers, as it is,
// with the end of the list. Its error is the kernel's errno. What answers another request,
// by its sequence number, is an error, too: something was left unread.
func (c *Conn) List(request, b []byte) ([]byte, error) {
	if err := c.Send(request); err != nil {
		return b, err
	}
	for {
		got, err := c.receive()
		if err != nil {
			return b, err
		}
		if len(got) < headLen || !bytes.Equal(sequence(got), sequence(request)) {
			return b, fmt.Errorf("netlink answers another request with %d bytes", len(got))
		}
		b = append(b, got...)
		if done, err := Messages(got, func(Message) error { return nil }); done || err != nil {
			return b, err
		}
	}
}

// sequence is nlmsg_seq of a message.
func sequence(message []byte) []byte { return message[8:12] }

// receive reads a datagram, which stays until the next is read.
func (c *Conn) receive() ([]byte, error) {
	for {
		// With MSG_TRUNC the kernel tells how long the datagram is, whatever it was
		// given for it.
		n, _, errno := unix.Syscall6(unix.SYS_RECVFROM, uintptr(c.fd), uintptr(unsafe.Pointer(c.buf)), uintptr(c.most), unix.MSG_TRUNC, 0, 0)
		switch {
		case errno == unix.EINTR:
		case errno != 0:
			return nil, errno
		case int(n) > c.most:
			return nil, fmt.Errorf("netlink answers with %d bytes at once, more than %d", n, c.most)
		default:
			return c.buf[:n], nil
		}
	}
}

// Refusal is the errno with which the kernel answers a request.
type Refusal struct{ unix.Errno }

// Unwrap is the errno.
func (r Refusal) Unwrap() error { return r.Errno }

// Answer reads the answer to one request that asked for no acknowledgement, and
// calls each with it. Its error is a Refusal where that is the answer.
func (c *Conn) Answer(each func(Message) error) error {
	b, err := c.receive()
	if err != nil {
		return err
	}
	_, err = Messages(b, each)
	if errno := unix.Errno(0); errors.As(err, &errno) {
		return Refusal{errno}
	}
	return err
}

// Arrived calls each with what the kernel sent by itself since the last call, and
// waits for nothing. Whether some of it was lost is reported, too (ENOBUFS).
func (c *Conn) Arrived(each func(Message) error) (lost bool, err error) {
	for {
		n, _, err := unix.Recvfrom(c.fd, c.buf[:c.most], unix.MSG_DONTWAIT)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return lost, nil
		case errors.Is(err, unix.ENOBUFS):
			lost = true
			continue
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return lost, err
		}
		if _, err := Messages(c.buf[:n], each); err != nil {
			return lost, err
		}
	}
}

// Message is what the kernel answers, or tells by itself.
type Message struct {
	Kind   uint16 // NFNL_SUBSYS_* << 8 | the subsystem's message
	Flags  uint16 // NLM_F_*
	Family byte
	Attrs  []byte // of the datagram, until the next is read
}

// headLen is the size of the two headers of a message: struct nlmsghdr and struct
// nfgenmsg.
const headLen = unix.SizeofNlMsghdr + 4

// Header is what of a request is not an attribute. NLM_F_REQUEST goes without
// saying.
type Header struct {
	Kind, Flags     uint16
	Family, Version byte
	Resource        uint16 // a queue, or the subsystem of a batch
}

// Request makes a message.
func Request(h Header, attrs []byte) []byte {
	b := make([]byte, unix.SizeofNlMsghdr, headLen+len(attrs))
	binary.NativeEndian.PutUint32(b, uint32(cap(b)))
	binary.NativeEndian.PutUint16(b[4:], h.Kind)
	binary.NativeEndian.PutUint16(b[6:], unix.NLM_F_REQUEST|h.Flags)
	b = append(b, h.Family, h.Version)
	return append(binary.BigEndian.AppendUint16(b, h.Resource), attrs...)
}

// Messages takes a datagram apart. It is done at the end of a list and at an
// acknowledgement, whose errno it returns.
func Messages(b []byte, each func(Message) error) (done bool, err error) {
	for len(b) >= unix.SizeofNlMsghdr {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.SizeofNlMsghdr || size > len(b) {
			return true, fmt.Errorf("netlink message claims %d of %d bytes", size, len(b))
		}
		kind, body := binary.NativeEndian.Uint16(b[4:]), b[unix.SizeofNlMsghdr:size]
		switch {
		case kind == unix.NLMSG_DONE:
			return true, nil
		case kind == unix.NLMSG_ERROR && len(body) >= 4:
			if errno := -int32(binary.NativeEndian.Uint32(body)); errno != 0 {
				return true, unix.Errno(errno)
			}
			return true, nil
		case size >= headLen:
			m := Message{Kind: kind, Flags: binary.NativeEndian.Uint16(b[6:]), Family: body[0], Attrs: body[4:]}
			if err := each(m); err != nil {
				return true, err
			}
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	return false, nil
}

const (
	attrHeader = 4         // bytes of length and number
	attrMask   = 1<<14 - 1 // of a number, without its flags
)

// Attributes takes attributes apart: their numbers without flags (NLA_TYPE_MASK of
// include/uapi/linux/netlink.h), and what they hold. It reports whether all of b
// was attributes.
func Attributes(b []byte, each func(number uint16, payload []byte)) bool {
	for len(b) >= attrHeader {
		size := int(binary.NativeEndian.Uint16(b))
		if size < attrHeader || size > len(b) {
			return false
		}
		each(binary.NativeEndian.Uint16(b[2:])&attrMask, b[attrHeader:size])
		b = b[min((size+3)&^3, len(b)):]
	}
	return true
}

// Attr is the payload of the first attribute of a number, or nil.
func Attr(b []byte, number uint16) []byte {
	for len(b) >= attrHeader {
		size := int(binary.NativeEndian.Uint16(b))
		if size < attrHeader || size > len(b) {
			return nil
		}
		if binary.NativeEndian.Uint16(b[2:])&attrMask == number {
			return b[attrHeader:size]
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	return nil
}
