package lab

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Datagrams is a UDP socket of the box that never waits.
type Datagrams struct{ fd int }

// OpenDatagrams binds a socket to an address of the box.
func OpenDatagrams(at netip.AddrPort) (*Datagrams, error) {
	fd, err := boundSocket(unix.SOCK_DGRAM, at)
	if err != nil {
		return nil, err
	}
	return &Datagrams{fd}, nil
}

// Close closes the socket.
func (d *Datagrams) Close() error { return unix.Close(d.fd) }

// Send sends a datagram with a few bytes.
func (d *Datagrams) Send(to netip.AddrPort) error {
	if err := unix.Sendto(d.fd, []byte("hello"), 0, sockaddr(to)); err != nil {
		return fmt.Errorf("send datagram to %s: %w", to, err)
	}
	return nil
}

// MayBroadcast lets the socket send to all hosts of a network.
func (d *Datagrams) MayBroadcast() error {
	if err := unix.SetsockoptInt(d.fd, unix.SOL_SOCKET, unix.SO_BROADCAST, 1); err != nil {
		return fmt.Errorf("let socket broadcast: %w", err)
	}
	return nil
}

// From is whose datagram came first of those that were not taken yet; it is not
// valid if there is none.
func (d *Datagrams) From() (netip.AddrPort, error) {
	_, from, err := unix.Recvfrom(d.fd, make([]byte, 64), 0)
	if errors.Is(err, unix.EAGAIN) {
		return netip.AddrPort{}, nil
	}
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("receive datagram: %w", err)
	}
	switch from := from.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(from.Addr), uint16(from.Port)), nil
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(from.Addr), uint16(from.Port)), nil
	}
	return netip.AddrPort{}, errors.New("receive datagram: from no address")
}

// ListenTCP opens a listening socket in the box, which lives until it is closed.
func ListenTCP(at netip.AddrPort) (closeIt func() error, err error) {
	fd, err := boundSocket(unix.SOCK_STREAM, at)
	if err != nil {
		return nil, err
	}
	if err := unix.Listen(fd, 16); err != nil {
		return nil, errors.Join(fmt.Errorf("listen at %s: %w", at, err), unix.Close(fd))
	}
	return func() error { return unix.Close(fd) }, nil
}

func boundSocket(kind int, at netip.AddrPort) (int, error) {
	family := unix.AF_INET
	if at.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open socket: %w", err)
	}
	if err := unix.Bind(fd, sockaddr(at)); err != nil {
		return -1, errors.Join(fmt.Errorf("bind socket to %s: %w", at, err), unix.Close(fd))
	}
	return fd, nil
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is6() {
		return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
	}
	return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
}
