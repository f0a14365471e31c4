package remote

import (
	"context"
	"fmt"
	"io"

	"golang.org/x/crypto/ssh"
)

// Size is a terminal's, in characters.
type Size struct{ Columns, Rows int }

// Terminal is what a command runs on instead of pipes.
type Terminal struct {
	Name    string // TERM
	Size    Size
	Resized <-chan Size // later sizes; may be nil
}

// Request is a command and what it runs with. The zero values of all but Argv
// are fine.
type Request struct {
	Argv           []string
	Env            []Variable
	Terminal       *Terminal // nil: pipes
	Stdin          io.Reader
	Stdout, Stderr io.Writer // on a terminal all goes to Stdout
}

// Variable is one of the environment's.
type Variable struct{ Name, Value string }

// Do runs a command as Run does, with more to say about how.
func (c *Client) Do(ctx context.Context, r Request) error {
	command, err := Quote(r.Argv)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { c.ssh.Close() })
	err = c.do(command, r)
	if !stop() && err != nil {
		err = ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("run %s in the guest: %w", r.Argv[0], err)
	}
	return nil
}

// prepare asks for what a session has before its command starts.
func (r Request) prepare(session *ssh.Session) error {
	for _, v := range r.Env {
		if err := session.Setenv(v.Name, v.Value); err != nil {
			return fmt.Errorf("set %s: %w", v.Name, err)
		}
	}
	if t := r.Terminal; t != nil {
		if err := session.RequestPty(t.Name, t.Size.Rows, t.Size.Columns, nil); err != nil {
			return fmt.Errorf("ask for a terminal: %w", err)
		}
	}
	return nil
}

// follow tells the guest of the terminal's sizes until done is closed.
func (t *Terminal) follow(session *ssh.Session, done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case size, ok := <-t.Resized:
			if !ok || session.WindowChange(size.Rows, size.Columns) != nil {
				return // no more, or the session has ended
			}
		}
	}
}
