// Package remotetest has an SSH server that answers as the agent in a guest
// would, in this process.
package remotetest

import (
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/google/shlex"
	"golang.org/x/crypto/ssh"

	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// Exec stands for a program in the guest. It returns the exit status. One that
// returns a negative status is taken for a guest that went away: its connection
// ends without a word.
type Exec func(argv []string, stdin io.Reader, stdout, stderr io.Writer) int

// Serve answers one SSH client over conn with the keys of a boot, until the
// client has gone. It closes conn.
func Serve(conn net.Conn, boot observe.Boot, exec Exec) error {
	defer conn.Close() // the client's error if it matters
	config, err := config(boot)
	if err != nil {
		return err
	}
	c, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return fmt.Errorf("shake hands with the client: %w", err)
	}
	var running sync.WaitGroup
	defer running.Wait()
	defer c.Close() // ends what still runs
	running.Go(func() { ssh.DiscardRequests(requests) })
	for offer := range channels {
		channel, requests, err := offer.Accept()
		if err != nil {
			return fmt.Errorf("accept a session: %w", err)
		}
		running.Go(func() {
			if !session(channel, requests, exec) {
				conn.Close()
			}
		})
	}
	return nil
}

func config(boot observe.Boot) (*ssh.ServerConfig, error) {
	host, err := ssh.ParsePrivateKey([]byte(boot.HostKey))
	if err != nil {
		return nil, fmt.Errorf("parse the host key: %w", err)
	}
	client, _, _, _, err := ssh.ParseAuthorizedKey([]byte(boot.ClientKey))
	if err != nil {
		return nil, fmt.Errorf("parse the client key: %w", err)
	}
	config := &ssh.ServerConfig{
		PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if string(key.Marshal()) != string(client.Marshal()) {
				return nil, fmt.Errorf("not the key of this boot")
			}
			return nil, nil
		},
	}
	config.AddHostKey(host)
	return config, nil
}

// session runs at most one program and says whether the guest is still there.
func session(channel ssh.Channel, requests <-chan *ssh.Request, exec Exec) bool {
	defer channel.Close() // closed already by who was quicker
	for r := range requests {
		var command struct{ Line string }
		argv := []string(nil)
		if r.Type == "exec" && ssh.Unmarshal(r.Payload, &command) == nil {
			argv, _ = shlex.Split(command.Line) // nothing is refused below
		}
		_ = r.Reply(len(argv) > 0, nil) // the client is gone, and requests ends
		if len(argv) == 0 {
			continue
		}
		status := exec(argv, channel, channel, channel.Stderr())
		if status < 0 {
			return false
		}
		_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(status)}))
		return true
	}
	return true
}
