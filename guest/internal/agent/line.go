package agent

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// banner is how an SSH client begins.
var banner = []byte("SSH-2.0-")

// errAway is what a stream's Write returns while no host is connected.
var errAway = errors.New("no host is connected to the port")

// stream is a port to one host at a time. While none is connected, Read returns
// io.EOF and Write errAway; Await waits until one may be. Read and Write may be
// called at the same time, and Await at any time.
type stream interface {
	io.ReadWriter
	Await(ctx context.Context) error
}

// line cuts what comes through a stream into connections. One begins wherever a
// client says its banner: eight bytes that encrypted data do not contain, short
// of an accident once in 2^64 bytes. What comes before it is passed over. A
// connection ends when the host goes away, when the next one begins, or when the
// server closes it. So it does not matter whether the guest gets to see that one
// client goes before the next one is there.
//
// Nor does it matter if the guest sees it late: data and the news of who is
// connected come by different queues, so that a new client's banner may be
// followed by the news that the one before has left. That is why a connection on
// which nothing has come but its banner outlives such news.
type line struct {
	ctx   context.Context // of run
	s     stream
	conns chan net.Conn

	mu      sync.Mutex // held while the stream is written
	current *conn      // the only connection that may be written to
}

func newLine(ctx context.Context, s stream) *line {
	return &line{ctx: ctx, s: s, conns: make(chan net.Conn)}
}

// run reads the stream until it fails or the line's context is done; then it
// closes conns.
func (l *line) run() error {
	defer close(l.conns)
	defer l.begin(nil)
	buf := make([]byte, 32<<10)
	kept := 0 // bytes of buf that may be the start of a banner
	for {
		n, err := l.s.Read(buf[kept:])
		if n == 0 && errors.Is(err, io.EOF) {
			if l.current != nil && l.current.answered.Load() {
				l.begin(nil)
			}
			kept = 0
			if err := l.s.Await(l.ctx); err != nil {
				return err
			}
			continue
		}
		if err != nil && n == 0 {
			return err
		}
		if kept, err = l.take(buf[:kept+n]); err != nil {
			return err
		}
	}
}

// take hands data to the connection that it belongs to. It returns how many
// bytes at the start of data it left there, to be seen again with what follows.
func (l *line) take(data []byte) (int, error) {
	at := bytes.Index(data, banner)
	if at < 0 && l.current != nil {
		l.current.answered.Store(true)
		if _, err := l.current.in.Write(data); err == nil {
			return 0, nil
		}
		l.begin(nil) // the server has closed it
	}
	if at < 0 {
		return copy(data, data[len(data)-partial(data):]), nil
	}
	c := l.begin(&conn{line: l})
	select {
	case l.conns <- c:
	case <-l.ctx.Done():
		return 0, l.ctx.Err()
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

// begin ends the current connection and puts c, or nil, in its place.
func (l *line) begin(c *conn) *conn {
	if l.current != nil {
		_ = l.current.in.CloseWithError(io.EOF) // never fails
	}
	if c != nil {
		c.out, c.in = io.Pipe()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.current = c
	return c
}

// conn is a connection over a line.
type conn struct {
	line     *line
	in       *io.PipeWriter // filled by the line
	out      *io.PipeReader
	answered atomic.Bool // something has come after the banner, so that the client has heard us
}

func (c *conn) Read(p []byte) (int, error) { return c.out.Read(p) }

// Write writes to the stream, unless the connection is no longer its current
// one.
func (c *conn) Write(p []byte) (int, error) {
	c.line.mu.Lock()
	defer c.line.mu.Unlock()
	for done := 0; ; {
		if c.line.current != c {
			return done, io.ErrClosedPipe
		}
		n, err := c.line.s.Write(p[done:])
		done += n
		if !errors.Is(err, errAway) || c.answered.Load() {
			return done, err
		}
		if err := c.line.s.Await(c.line.ctx); err != nil {
			return done, err
		}
	}
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
