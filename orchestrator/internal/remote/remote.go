// Package remote speaks SSH with the agent in a guest, over whatever carries
// bytes to it. Keys are made for one boot and forgotten with it.
package remote

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// Keys are the identities of both ends for one boot.
type Keys struct {
	boot   observe.Boot
	host   ssh.PublicKey
	client ssh.Signer
}

// NewKeys makes fresh keys.
func NewKeys() (*Keys, error) {
	hostPublic, hostPrivate, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make host key: %w", err)
	}
	_, clientPrivate, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make client key: %w", err)
	}
	block, err := ssh.MarshalPrivateKey(hostPrivate, "")
	if err != nil {
		return nil, fmt.Errorf("encode host key: %w", err)
	}
	client, err := ssh.NewSignerFromKey(clientPrivate)
	if err != nil {
		return nil, fmt.Errorf("use client key: %w", err)
	}
	host, err := ssh.NewPublicKey(hostPublic)
	if err != nil {
		return nil, fmt.Errorf("use host key: %w", err)
	}
	return &Keys{
		boot: observe.Boot{
			HostKey:   string(pem.EncodeToMemory(block)),
			ClientKey: string(ssh.MarshalAuthorizedKey(client.PublicKey())),
		},
		host: host, client: client,
	}, nil
}

// Boot is what the guest must be told: its own private key and who may come in.
func (k *Keys) Boot() observe.Boot { return k.boot }

// Client is a connection to an agent. It may be used concurrently.
type Client struct {
	ssh *ssh.Client
}

// Dial shakes hands over conn, which it takes over. It refuses a guest that
// does not have the key it was given. When ctx ends first, conn is closed.
func Dial(ctx context.Context, conn net.Conn, keys *Keys) (*Client, error) {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	c, channels, requests, err := ssh.NewClientConn(conn, "guest", &ssh.ClientConfig{
		User:              "root",
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(keys.client)},
		HostKeyCallback:   ssh.FixedHostKey(keys.host),
		HostKeyAlgorithms: []string{ssh.KeyAlgoED25519},
	})
	if err != nil {
		conn.Close()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, fmt.Errorf("shake hands with the agent: %w", err)
	}
	return &Client{ssh.NewClient(c, channels, requests)}, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.ssh.Close() }

// ExitError says that a command in the guest ended with another status than 0.
type ExitError struct {
	Status int
	Signal string // "" unless a signal ended it
}

func (e *ExitError) Error() string {
	if e.Signal != "" {
		return "ended by signal " + e.Signal
	}
	return fmt.Sprintf("exit status %d", e.Status)
}

// Run runs a command and waits for it. A command that ran and failed is an
// *ExitError. When ctx ends first, the connection is closed.
func (c *Client) Run(ctx context.Context, argv []string, stdin io.Reader, stdout, stderr io.Writer) error {
	stop := context.AfterFunc(ctx, func() { c.ssh.Close() })
	defer stop()
	err := c.run(argv, stdin, stdout, stderr)
	if ctx.Err() != nil && err != nil {
		return ctx.Err()
	}
	return err
}

func (c *Client) run(argv []string, stdin io.Reader, stdout, stderr io.Writer) error {
	session, err := c.ssh.NewSession()
	if err != nil {
		return fmt.Errorf("open a session: %w", err)
	}
	defer session.Close()
	session.Stdin, session.Stdout, session.Stderr = stdin, stdout, stderr
	err = session.Run(Quote(argv))
	if exit, ok := err.(*ssh.ExitError); ok {
		return &ExitError{Status: exit.ExitStatus(), Signal: exit.Signal()}
	}
	return err
}

// Quote writes argv so that a shell-like splitter reads it back.
func Quote(argv []string) string {
	words := make([]string, len(argv))
	for i, w := range argv {
		words[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
	}
	return strings.Join(words, " ")
}
