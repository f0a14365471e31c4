package agent

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// banner is how an SSH client begins.
var banner = []byte("SSH-2.0-")

// stream is a port to one host at a time. Read returns io.EOF while no host is
// connected; Await waits until one may be.
type stream interface {
	io.ReadWriter
	Await(ctx context.Context) error
}

// line cuts what comes through a stream into connections. One begins where a
// client says its banner: first thing in what was read at once, which is never
// encrypted data by accident, or anywhere while there is no connection, with
// rubbish before it passed over. It ends when the host goes away, when the next
// one begins, or when the server closes it. So it does not matter whether the
// host's side of the port is closed between two clients.
type line struct {
	s     stream
	conns chan net.Conn

	mu      sync.Mutex // held while the stream is written
	current *conn      // the only connection that may be written to
}

func newLine(s stream) *line { return &line{s: s, conns: make(chan net.Conn)} }

// run reads the stream until it fails or ctx is done; then it closes conns.
func (l *line) run(ctx context.Context) error {
	defer close(l.conns)
	defer l.begin(nil)
	buf := make([]byte, 32<<10)
	kept := 0 // bytes of buf that may be the start of a banner
	for {
		n, err := l.s.Read(buf[kept:])
		if n == 0 && errors.Is(err, io.EOF) {
			l.begin(nil)
			kept = 0
			if err := l.s.Await(ctx); err != nil {
				return err
			}
			continue
		}
		if err != nil && n == 0 {
			return err
		}
		if kept, err = l.take(ctx, buf[:kept+n]); err != nil {
			return err
		}
	}
}

// take hands data to the connection that it belongs to. It returns how many
// bytes at the start of data it left there, to be seen again with what follows.
func (l *line) take(ctx context.Context, data []byte) (int, error) {
	if !bytes.HasPrefix(data, banner) && l.current != nil {
		if _, err := l.current.in.Write(data); err == nil {
			return 0, nil
		}
		l.begin(nil) // the server has closed it: look for the next
	}
	at := bytes.Index(data, banner)
	if at < 0 {
		return copy(data, data[len(data)-partial(data):]), nil
	}
	c := l.begin(l.s)
	select {
	case l.conns <- c:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	// An error means that the server has closed it already.
	_, _ = c.in.Write(data[at:])
	return 0, nil
}

// partial is how many bytes at the end of data a banner may start with.
func partial(data []byte) int {
	for n := min(len(data), len(banner)-1); n > 0; n-- {
		if bytes.HasSuffix(data, banner[:n]) {
			return n
		}
	}
	return 0
}

// begin ends the current connection and makes a new one, or none if w is nil.
func (l *line) begin(w io.Writer) *conn {
	if l.current != nil {
		l.current.in.CloseWithError(io.EOF)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.current = nil
	if w != nil {
		out, in := io.Pipe()
		l.current = &conn{line: l, in: in, out: out}
	}
	return l.current
}

// conn is a connection over a line.
type conn struct {
	line *line
	in   *io.PipeWriter // filled by the line
	out  *io.PipeReader
}

func (c *conn) Read(p []byte) (int, error) { return c.out.Read(p) }

// Write writes to the stream, unless the connection is no longer its current
// one.
func (c *conn) Write(p []byte) (int, error) {
	c.line.mu.Lock()
	defer c.line.mu.Unlock()
	if c.line.current != c {
		return 0, io.ErrClosedPipe
	}
	return c.line.s.Write(p)
}

// Close makes the line pass over what still comes, up to the next banner.
func (c *conn) Close() error { return c.out.Close() }

// A port has no address.

func (c *conn) LocalAddr() net.Addr  { return portAddr{} }
func (c *conn) RemoteAddr() net.Addr { return portAddr{} }

type portAddr struct{}

func (portAddr) Network() string { return "virtio-serial" }
func (portAddr) String() string  { return "virtio-serial" }

// There are no deadlines in the guest: see the package's comment.

func (c *conn) SetDeadline(time.Time) error      { return os.ErrNoDeadline }
func (c *conn) SetReadDeadline(time.Time) error  { return os.ErrNoDeadline }
func (c *conn) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }
