package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

// Link is a tun or a tap device: the box has one end, the agent the other.
type Link struct {
	Name  string
	ether *ethernet               // of a tap
	index int                     // of the device
	fd    int                     // /dev/net/tun: what the agent writes is received by the box
	sock  int                     // AF_PACKET on the device, for the fence's EtherType only (of a tap, all)
	addr  *unix.SockaddrLinklayer // the device, for frames sent out of it
	fence uint64
	out   []wire.Seen
	wrong error // with what came out, since the last fence
	worn  bool  // what was changed about it goes with it

	watcher Watcher // nil unless somebody watches
	buf     []byte  // of maxFrame; see room
}

// fenceProto is "Local Experimental EtherType 1" of IEEE 802.
const fenceProto = 0x88B5

// fenceWait bounds how long a fence may take in guest time. Packets pass while
// the caller writes, so it is never waited out unless something is wrong.
const fenceWait = 5 * time.Second

// ErrFence says that a fence did not come out: whatever was observed around it
// cannot be trusted.
var ErrFence = errors.New("fence lost")

// piLen is the size of struct tun_pi, which stands before each packet and holds
// its EtherType.
const piLen = 4

// etherLen is the most that a header of Ethernet takes, with the tag of a VLAN.
const etherLen = 18

func openTun(name string) (*Link, error) { return openTunTap(name, unix.IFF_TUN) }

func openTunTap(name string, kind uint16) (*Link, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/net/tun: %w", err)
	}
	req, err := unix.NewIfreq(name)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("name tun %s: %w", name, err)
	}
	req.SetUint16(kind)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("create tun %s: %w", name, err)
	}
	l := &Link{Name: name, fd: fd, sock: -1}
	if err := l.find(); err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

// find opens the socket of the link, which hears nothing yet, and asks it for the
// link's number.
func (l *Link) find() (err error) {
	if l.sock, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0); err != nil {
		return fmt.Errorf("open fence socket: %w", err)
	}
	req, err := unix.NewIfreq(l.Name)
	if err == nil {
		err = unix.IoctlIfreq(l.sock, unix.SIOCGIFINDEX, req)
	}
	if err != nil {
		return fmt.Errorf("find link %s: %w", l.Name, err)
	}
	l.index = int(req.Uint32())
	return nil
}

// openFence needs the device to be up. A bridge takes what comes in by a tap
// before those hear of it that listen to one EtherType.
func (l *Link) openFence() error {
	heard := htons(fenceProto)
	l.addr = &unix.SockaddrLinklayer{Protocol: heard, Ifindex: l.index}
	if l.ether != nil {
		heard = htons(unix.ETH_P_ALL)
		l.addr.Halen = uint8(copy(l.addr.Addr[:], l.ether.from))
	}
	if err := unix.Bind(l.sock, &unix.SockaddrLinklayer{Protocol: heard, Ifindex: l.index}); err != nil {
		return fmt.Errorf("bind fence socket to %s: %w", l.Name, err)
	}
	return nil
}

func (l *Link) close() error {
	if l.sock >= 0 {
		unix.Close(l.sock)
	}
	return unix.Close(l.fd)
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }

// Send puts packets into the device, as if they arrived from outside. Several
// goroutines may send at once, unless somebody watches.
func (l *Link) Send(pkts ...wire.Packet) error {
	for _, p := range pkts {
		proto := uint16(unix.ETH_P_IP)
		if p.Data[0]>>4 == 6 {
			proto = unix.ETH_P_IPV6
		}
		if err := l.send(proto, p.Data); err != nil {
			return fmt.Errorf("send into %s: %w", l.Name, err)
		}
	}
	return nil
}

func (l *Link) send(proto uint16, data []byte) error {
	frame := l.appendFrame(make([]byte, 0, piLen+etherLen+len(data)), proto, data)
	if l.watcher != nil {
		l.watcher.Sending(l, frame[piLen:], data)
	}
	_, err := unix.Write(l.fd, frame)
	if l.watcher != nil {
		l.watcher.Sent(l, err)
	}
	return err
}

// appendFrame appends what is written to put a packet into the device.
func (l *Link) appendFrame(frame []byte, proto uint16, data []byte) []byte {
	frame = binary.BigEndian.AppendUint16(append(frame, 0, 0), proto)
	if l.ether != nil {
		frame = append(frame, l.ether.head(proto)...)
	}
	return append(frame, data...)
}

// Fence returns once everything sent before is through and everything that
// the box sent because of it was read.
func (l *Link) Fence() error {
	if err := l.fenceIn(); err != nil {
		return err
	}
	return l.fenceOut()
}

// fenceIn returns once everything is through that was sent before, by whatever
// link: the box takes in on a CPU what comes one after the other.
func (l *Link) fenceIn() error {
	l.fence++
	mark := l.mark()
	if _, err := unix.Write(l.fd, l.appendFrame(nil, fenceProto, mark[:])); err != nil {
		return fmt.Errorf("%w: write into %s: %w", ErrFence, l.Name, err)
	}
	buf := l.room()[:64]
	if err := l.await(l.sock, buf, func(n int) bool { return string(buf[:n]) == string(mark[:]) }); err != nil {
		return fmt.Errorf("%w: on its way into %s: %w", ErrFence, l.Name, err)
	}
	return nil
}

// fenceOut returns once everything that the box sent before was read.
func (l *Link) fenceOut() error {
	l.fence++
	mark := l.mark()
	if err := unix.Sendto(l.sock, mark[:], 0, l.addr); err != nil {
		return fmt.Errorf("%w: send out of %s: %w", ErrFence, l.Name, err)
	}
	frame := l.room()
	err := l.await(l.fd, frame, func(n int) bool {
		proto, data := l.came(frame[:n])
		return proto == fenceProto && string(data) == string(mark[:])
	})
	if err != nil {
		return fmt.Errorf("%w: on its way out of %s: %w", ErrFence, l.Name, err)
	}
	wrong := l.wrong
	l.wrong = nil
	return wrong
}

// mark is what the current fence carries.
func (l *Link) mark() (mark [8]byte) {
	binary.BigEndian.PutUint64(mark[:], l.fence)
	return mark
}

// maxFrame is the most that is read of a device at once.
const maxFrame = 1 << 16

// room is what frames are read into.
func (l *Link) room() []byte {
	if l.buf == nil {
		l.buf = make([]byte, maxFrame)
	}
	return l.buf
}

// came takes what the box sent, and returns what it is.
func (l *Link) came(frame []byte) (proto uint16, data []byte) {
	proto, data = binary.BigEndian.Uint16(frame[2:]), frame[piLen:]
	if l.ether != nil {
		proto, data = payload(data)
	}
	if proto == unix.ETH_P_IP || proto == unix.ETH_P_IPV6 {
		seen, err := wire.Parse(data)
		l.wrong = errors.Join(l.wrong, err)
		// What a link without an address says of itself (RFC 3810, section
		// 5.2.13: the groups that it has joined) is no experiment's.
		if !seen.Src.Addr().IsUnspecified() {
			l.out = append(l.out, seen)
			if l.watcher != nil {
				l.watcher.Out(l, frame[piLen:])
			}
		}
	}
	return proto, data
}

// await reads messages from fd into buf until last says that the one it got,
// of n bytes, was awaited.
func (l *Link) await(fd int, buf []byte, last func(n int) bool) error {
	deadline := Now() + fenceWait
	for {
		n, err := unix.Read(fd, buf)
		switch {
		case err == nil && last(n):
			return nil
		case err == nil || errors.Is(err, unix.EINTR):
			continue
		case !errors.Is(err, unix.EAGAIN):
			return err
		}
		left := deadline - Now()
		if left <= 0 {
			return fmt.Errorf("nothing within %v", fenceWait)
		}
		_, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(left/time.Millisecond)+1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// Took returns what came out of the box on this link up to the last fence, and
// forgets it.
func (l *Link) Took() []wire.Seen {
	out := l.out
	l.out = nil
	return out
}
