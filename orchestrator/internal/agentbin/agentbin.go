// Package agentbin holds the guest agent that the build put into the program.
package agentbin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// The directory holds ctagent-ARCH for each guest architecture; in a bare
// checkout it holds only a note that says so.
//
//go:embed bin
var files embed.FS

// ErrNone says that the program was built without an agent.
var ErrNone = errors.New("this ctmatrix has no guest agent in it: build it with `make build`")

// Agent returns the static agent for an architecture by Debian's name.
func Agent(arch string) ([]byte, error) {
	b, err := files.ReadFile("bin/ctagent-" + arch)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("agent for %s: %w", arch, ErrNone)
	}
	return b, err
}

// Digest identifies an agent: SHA-256 in hex.
func Digest(agent []byte) string {
	sum := sha256.Sum256(agent)
	return hex.EncodeToString(sum[:])
}

// listTime bounds how long the agent may take to list its probes.
const listTime = 20 * time.Second

// Listing asks the agent of the host's architecture which probes the globs
// choose, all if there are none, and what they need: the suite is known to
// nobody else.
func Listing(ctx context.Context, globs []string) (*observe.Listing, error) {
	agent, err := Agent(runtime.GOARCH)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "ctmatrix-agent-")
	if err != nil {
		return nil, fmt.Errorf("make room for the agent: %w", err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "ctagent")
	if err := os.WriteFile(path, agent, 0o700); err != nil {
		return nil, fmt.Errorf("unpack the agent: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, listTime)
	defer cancel()
	var out, errs bytes.Buffer
	args := []string{"list"}
	for _, g := range globs {
		args = append(args, "--probe", g)
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		if text := bytes.TrimSpace(errs.Bytes()); len(text) > 0 {
			return nil, fmt.Errorf("list probes: %s", text)
		}
		return nil, fmt.Errorf("list probes: %w", err)
	}
	var l observe.Listing
	if err := json.Unmarshal(out.Bytes(), &l); err != nil {
		return nil, fmt.Errorf("read list of probes: %w", err)
	}
	return &l, nil
}
