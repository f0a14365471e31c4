package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/crypto/ssh"

	"github.com/ctmatrix/ctmatrix/guest/internal/first"
	"github.com/ctmatrix/ctmatrix/guest/internal/modules"
	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// Serve sets the guest up and serves SSH on its port until the port fails, or,
// in a guest with a channel, runs the one job that comes through it. It says on
// the console when it is ready.
func Serve(ctx context.Context, console io.Writer, batch Batch) error {
	if err := setup(); err != nil {
		return err
	}
	channel, err := findChannel("/sys/bus/pci/devices")
	if err != nil {
		return err
	}
	if channel != nil {
		return serveChannel(channel, console, batch, slack)
	}
	config, err := readConfig(observe.BootPath)
	if err != nil {
		return err
	}
	if err := loadVirtio(console); err != nil {
		return err
	}
	if _, err := os.Stat(portDriver); errors.Is(err, fs.ErrNotExist) {
		return errNoPort
	}
	name, err := waitPort(observe.PortName, console)
	if err != nil {
		return err
	}
	port, err := openDevice(filepath.Join("/dev", name))
	if err != nil {
		return err
	}
	defer port.Close() // the error that ended the port is the one to tell
	fmt.Fprintln(console, observe.ReadyLine)
	return listen(ctx, port, config, console)
}

// portDriver is there where a kernel can have ports, and without it they would be
// waited for in vain.
const portDriver = "/sys/bus/virtio/drivers/virtio_console"

var errNoPort = errors.New("this kernel has no virtio_console, built in or as a module, through which it could be spoken to")

// loadVirtio loads what the port needs. That a kernel lacks some of it is no
// failure: which of the buses there is depends on the machine.
func loadVirtio(console io.Writer) error {
	loader, err := modules.Open()
	if err != nil {
		return err
	}
	for _, m := range Modules {
		if err := loader.Load(m); err != nil {
			fmt.Fprintf(console, "%s%v\n", first.Prefix, err)
		}
	}
	return nil
}

// readConfig makes the server's configuration from what the host said about
// this boot: one key of its own, and one key that it lets in.
func readConfig(path string) (*ssh.ServerConfig, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	var b observe.Boot
	if err := json.Unmarshal(data, &b); err != nil {
		return nil, fmt.Errorf("parse %s: %w", path, err)
	}
	return newConfig(b)
}

var errKey = errors.New("not the key of this boot")

func newConfig(b observe.Boot) (*ssh.ServerConfig, error) {
	host, err := ssh.ParsePrivateKey([]byte(b.HostKey))
	if err != nil {
		return nil, fmt.Errorf("parse host key: %w", err)
	}
	client, _, _, _, err := ssh.ParseAuthorizedKey([]byte(b.ClientKey))
	if err != nil {
		return nil, fmt.Errorf("parse client key: %w", err)
	}
	config := &ssh.ServerConfig{
		PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if !bytes.Equal(key.Marshal(), client.Marshal()) {
				return nil, errKey
			}
			return nil, nil
		},
	}
	config.AddHostKey(host)
	return config, nil
}

// listen serves one connection after the other until the stream fails or ctx is
// done.
func listen(ctx context.Context, s stream, config *ssh.ServerConfig, console io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l := newLine(ctx, s)
	done := make(chan error, 1)
	go func() { done <- l.run() }()
	for c := range l.conns {
		if err := serveConn(ctx, c, config); err != nil {
			fmt.Fprintf(console, "%sconnection: %v\n", first.Prefix, err)
		}
	}
	return <-done
}

// serveConn serves a connection until it ends and all its processes have.
func serveConn(ctx context.Context, nc net.Conn, config *ssh.ServerConfig) error {
	defer nc.Close() // cannot fail
	c, channels, requests, err := ssh.NewServerConn(nc, config)
	if err != nil {
		return err
	}
	defer c.Close() // closes nc
	var running sync.WaitGroup
	defer running.Wait()
	// Global requests are all refused, which is answer enough to a keepalive.
	running.Go(func() { ssh.DiscardRequests(requests) })
	for {
		select {
		case <-ctx.Done():
			return c.Close()
		case offer, ok := <-channels:
			if !ok {
				return nil
			}
			if offer.ChannelType() != "session" {
				if err := offer.Reject(ssh.UnknownChannelType, "only sessions are served"); err != nil {
					return err
				}
				continue
			}
			ch, reqs, err := offer.Accept()
			if err != nil {
				return err
			}
			running.Go(func() { serveSession(ch, reqs) })
		}
	}
}
