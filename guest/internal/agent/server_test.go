package agent

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// pipePort is a port of which a test's clients hold the other end, one after
// the other.
type pipePort struct {
	hosts chan net.Conn
	mu    sync.Mutex
	host  net.Conn
}

func (p *pipePort) current() net.Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.host
}

func (p *pipePort) Read(b []byte) (int, error) {
	h := p.current()
	if h == nil {
		return 0, io.EOF
	}
	return h.Read(b)
}

func (p *pipePort) Write(b []byte) (int, error) {
	if h := p.current(); h != nil {
		return h.Write(b)
	}
	return 0, errAway
}

func (p *pipePort) Await(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case h := <-p.hosts:
		p.mu.Lock()
		defer p.mu.Unlock()
		p.host = h
		return nil
	}
}

type keys struct {
	signer ssh.Signer
	pem    string
}

func newKeys(t *testing.T) keys {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return keys{signer, string(pem.EncodeToMemory(block))}
}

// server is a listening agent and the keys that fit it.
type server struct {
	port         *pipePort
	host, client keys
}

func startServer(t *testing.T) *server {
	s := &server{port: &pipePort{hosts: make(chan net.Conn)}, host: newKeys(t), client: newKeys(t)}
	config, err := newConfig(observe.Boot{HostKey: s.host.pem, ClientKey: string(ssh.MarshalAuthorizedKey(s.client.signer.PublicKey()))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- listen(ctx, s.port, config, io.Discard) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("server ended with %v", err)
		}
	})
	return s
}

func (s *server) dial(t *testing.T, with keys) (*ssh.Client, error) {
	near, far := net.Pipe()
	s.port.hosts <- far
	t.Cleanup(func() { near.Close() })
	c, chans, reqs, err := ssh.NewClientConn(near, "guest", &ssh.ClientConfig{
		User: "root", Auth: []ssh.AuthMethod{ssh.PublicKeys(with.signer)}, HostKeyCallback: ssh.FixedHostKey(s.host.signer.PublicKey()),
	})
	if err != nil {
		near.Close()
		return nil, err
	}
	client := ssh.NewClient(c, chans, reqs)
	t.Cleanup(func() { client.Close() })
	return client, nil
}

func (s *server) session(t *testing.T) *ssh.Session {
	c, err := s.dial(t, s.client)
	if err != nil {
		t.Fatal(err)
	}
	session, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	return session
}

func TestOnlyTheBootsKey(t *testing.T) {
	s := startServer(t)
	if _, err := s.dial(t, newKeys(t)); err == nil {
		t.Fatal("another key was let in")
	}
	if _, err := s.dial(t, s.client); err != nil {
		t.Fatalf("the next client: %v", err)
	}
}

func TestConfigErrors(t *testing.T) {
	k := newKeys(t)
	for _, b := range []observe.Boot{
		{HostKey: "x", ClientKey: string(ssh.MarshalAuthorizedKey(k.signer.PublicKey()))},
		{HostKey: k.pem, ClientKey: "x"},
	} {
		if _, err := newConfig(b); err == nil {
			t.Errorf("%+v was taken", b)
		}
	}
	if _, err := readConfig(t.TempDir() + "/none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestExec(t *testing.T) {
	session := startServer(t).session(t)
	var out, errs bytes.Buffer
	session.Stdin, session.Stdout, session.Stderr = strings.NewReader("input"), &out, &errs
	if err := session.Setenv("WORD", "a b"); err != nil {
		t.Fatal(err)
	}
	err := session.Run(`sh -c 'cat; echo "$WORD $HOME"; echo problem >&2; exit 3'`)
	var exit *ssh.ExitError
	if !errors.As(err, &exit) || exit.ExitStatus() != 3 || out.String() != "inputa b /\n" || errs.String() != "problem\n" {
		t.Errorf("%v, out %q, err %q", err, out.String(), errs.String())
	}
}

// Much output must arrive whole, and before the exit status.
func TestExecMuchOutput(t *testing.T) {
	out, err := startServer(t).session(t).Output(`sh -c 'head -c 3000000 /dev/zero'`)
	if err != nil || len(out) != 3000000 {
		t.Errorf("%d bytes, %v", len(out), err)
	}
}

func TestExecSignal(t *testing.T) {
	session := startServer(t).session(t)
	out, err := session.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Start(`sh -c 'echo up; exec sleep 1000'`); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	if err := session.Signal(ssh.SIGTERM); err != nil {
		t.Fatal(err)
	}
	var exit *ssh.ExitError
	if err := session.Wait(); !errors.As(err, &exit) || exit.Signal() != "TERM" {
		t.Errorf("%v, want the end by TERM", err)
	}
}

func TestExecErrors(t *testing.T) {
	s := startServer(t)
	c, err := s.dial(t, s.client)
	if err != nil {
		t.Fatal(err)
	}
	session := func() *ssh.Session {
		s, err := c.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for _, command := range []string{"", "'open quote"} {
		if err := session().Run(command); err == nil {
			t.Errorf("%q ran", command)
		}
	}
	var errs bytes.Buffer
	failing := session()
	failing.Stderr = &errs
	var exit *ssh.ExitError
	if err := failing.Run("/no/such"); !errors.As(err, &exit) || exit.ExitStatus() != cannotRun || !strings.Contains(errs.String(), "/no/such") {
		t.Errorf("%v, %q", err, errs.String())
	}
	if err := session().Shell(); err == nil {
		t.Error("there was a shell")
	}
	if _, _, err := c.OpenChannel("direct-tcpip", nil); err == nil {
		t.Error("a connection was forwarded")
	}
	if ok, _, err := c.SendRequest("keepalive@openssh.com", true, nil); ok || err != nil {
		t.Errorf("keepalive: %v, %v; want an answer that refuses", ok, err)
	}
	if err := session().Run("true"); err != nil {
		t.Errorf("a session after all that: %v", err)
	}
}

// A client that goes takes its programs along, with what those have started.
func TestClientGoes(t *testing.T) {
	s := startServer(t)
	c, err := s.dial(t, s.client)
	if err != nil {
		t.Fatal(err)
	}
	session, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	// Only the processes have it open to write: its end is theirs.
	name := t.TempDir() + "/fifo"
	if err := unix.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := session.Start(`sh -c 'exec > "` + name + `"; sleep 1000 & echo up; sleep 1000'`); err != nil {
		t.Fatal(err)
	}
	endsAll(t, session, name)
}

// endsAll closes a session whose processes have the fifo open to write, which say
// "up" first, and holds it to the end of all of them.
func endsAll(t *testing.T, session *ssh.Session, name string) {
	t.Helper()
	fifo, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer fifo.Close()
	if err := fifo.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(fifo, make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	if err := session.Close(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(fifo); err != nil || len(rest) > 0 {
		t.Errorf("%q, %v; want the end of all processes", rest, err)
	}
}
