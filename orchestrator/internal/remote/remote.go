// Package remote speaks SSH with the agent in a guest, over whatever carries
// bytes to it. Keys are made for one boot and forgotten with it.
package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"golang.org/x/crypto/ssh"
)

// ErrHostKey says that the other end is not the guest that was booted.
var ErrHostKey = errors.New("the guest has another host key than it was given")

// ErrLost says that a command's connection ended before the command was known to
// have.
var ErrLost = errors.New("the connection to the guest ended")

// Client is a connection to an agent. It may be used concurrently.
type Client struct {
	ssh *ssh.Client
}

// Dial shakes hands over conn, which it takes over: it is closed if that fails,
// or when ctx ends before. It refuses a guest that does not have the key it was
// given (ErrHostKey).
//
// What is sent to a virtio port before the guest listens is lost, and nobody
// says so. So Dial must not be called before the agent said on the console that
// it is ready; then once is enough, and a handshake that fails is a finding.
func Dial(ctx context.Context, conn net.Conn, keys *Keys) (*Client, error) {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	c, channels, requests, err := ssh.NewClientConn(conn, "guest", keys.config())
	if !stop() && err == nil {
		err = c.Close() // ctx ended at the last moment
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		conn.Close() // may be closed already
		return nil, fmt.Errorf("shake hands with the agent: %w", err)
	}
	return &Client{ssh.NewClient(c, channels, requests)}, nil
}

// config names the algorithms that are quickest without a CPU's help: the guest
// computes under emulation, and nobody is on the line between it and us.
func (k *Keys) config() *ssh.ClientConfig {
	want := k.host.Marshal()
	c := &ssh.ClientConfig{
		User: "root",
		Auth: []ssh.AuthMethod{ssh.PublicKeys(k.client)},
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			if !bytes.Equal(key.Marshal(), want) {
				return ErrHostKey
			}
			return nil
		},
		HostKeyAlgorithms: []string{ssh.KeyAlgoED25519},
	}
	c.KeyExchanges = []string{ssh.KeyExchangeCurve25519}
	c.Ciphers = []string{ssh.CipherChaCha20Poly1305}
	return c
}

// Close ends the connection, and with it every command.
func (c *Client) Close() error { return c.ssh.Close() }

// Wait waits until the connection has ended, as it does with the guest.
func (c *Client) Wait() error { return c.ssh.Wait() }

// ExitError says that a command in the guest ended with another status than 0.
type ExitError struct {
	Status int
	Signal string // without SIG; "" unless a signal ended it
}

func (e *ExitError) Error() string {
	if e.Signal != "" {
		return "ended by signal " + e.Signal
	}
	return fmt.Sprintf("exit status %d", e.Status)
}

// Run runs a command and waits for it. A command that ran and failed is an
// *ExitError, one whose end did not arrive ErrLost. When ctx ends first, the
// connection is closed: that is what certainly ends the command.
//
// Stdin, unless nil, is read until it or the command ends; a Read that waits then
// is not waited for. Stdout and stderr may be nil. What they take is not bounded
// here, and while one of them does not take it the guest waits.
func (c *Client) Run(ctx context.Context, argv []string, stdin io.Reader, stdout, stderr io.Writer) error {
	return c.Do(ctx, Request{Argv: argv, Stdin: stdin, Stdout: stdout, Stderr: stderr})
}

func (c *Client) do(command string, r Request) error {
	session, err := c.ssh.NewSession()
	if err != nil {
		return fmt.Errorf("open a session: %w: %w", ErrLost, err)
	}
	defer session.Close() // closed by the guest already, if all went well
	session.Stdout, session.Stderr = r.Stdout, r.Stderr
	if err := r.prepare(session); err != nil {
		return err
	}
	if r.Stdin != nil {
		in, err := session.StdinPipe()
		if err != nil {
			return fmt.Errorf("open standard input: %w", err)
		}
		// An error means that the command no longer reads, as it may.
		go func() { _, _ = io.Copy(in, r.Stdin); _ = in.Close() }()
	}
	err = session.Start(command)
	if err == nil && r.Terminal != nil {
		var following sync.WaitGroup
		done := make(chan struct{})
		following.Go(func() { r.Terminal.follow(session, done) })
		defer following.Wait()
		defer close(done)
	}
	if err == nil {
		err = session.Wait()
	}
	var exit *ssh.ExitError
	var missing *ssh.ExitMissingError
	switch {
	case errors.As(err, &exit):
		return &ExitError{Status: exit.ExitStatus(), Signal: exit.Signal()}
	case errors.As(err, &missing), errors.Is(err, io.EOF):
		return ErrLost
	}
	return err
}
