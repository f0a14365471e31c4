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
	"io"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// The directory holds ctagent-ARCH for each guest architecture; in a bare
// checkout it holds only a note that says so.
//
//go:embed bin
var files embed.FS

// ErrNone says that the program was built without an agent.
var ErrNone = errors.New("this ctmatrix has no guest agent in it: build it with `make build`")

// Agent returns the static agent for an architecture by Debian's name. It is the
// caller's, and a copy of ten megabytes.
func Agent(arch string) ([]byte, error) {
	b, err := files.ReadFile(agentFile(arch))
	return b, noAgent(arch, err)
}

func agentFile(arch string) string { return "bin/ctagent-" + arch }

func noAgent(arch string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("agent for %s: %w", arch, ErrNone)
	}
	return err
}

// Digest identifies an agent: SHA-256 in hex.
func Digest(agent []byte) string {
	sum := sha256.Sum256(agent)
	return hex.EncodeToString(sum[:])
}

// ErrSelection says that a glob chooses no probe.
var ErrSelection = errors.New("no such probe")

// selectionError is ErrSelection in the agent's words.
type selectionError string

func (e selectionError) Error() string { return string(e) }

func (e selectionError) Is(target error) bool { return target == ErrSelection }

// listTime bounds how long the agent may take to list its probes.
const listTime = 20 * time.Second

// Listing asks the agent of the host's architecture which probes the globs
// choose, all if there are none, and what they need: the suite is known to
// nobody else. A glob that chooses none is ErrSelection.
func Listing(ctx context.Context, globs []string) (*observe.Listing, error) {
	return list(ctx, nil, globs)
}

// Describe is Listing with the rows of each probe and what they mean.
func Describe(ctx context.Context, globs []string) (*observe.Listing, error) {
	return list(ctx, []string{"--rows"}, globs)
}

func list(ctx context.Context, flags, globs []string) (*observe.Listing, error) {
	agent, err := files.Open(agentFile(runtime.GOARCH))
	if err != nil {
		return nil, noAgent(runtime.GOARCH, err)
	}
	defer agent.Close() // only read
	program, err := inMemory(agent)
	if err != nil {
		return nil, fmt.Errorf("unpack the agent: %w", err)
	}
	defer program.Close() // nothing of it is kept
	args := append([]string{"list"}, flags...)
	for _, g := range globs {
		args = append(args, "--probe", g)
	}
	ctx, cancel := context.WithTimeout(ctx, listTime)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, fmt.Sprintf("/proc/self/fd/%d", program.Fd()), args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, complaint(err, errs.String())
	}
	var l observe.Listing
	if err := json.Unmarshal(out.Bytes(), &l); err != nil {
		return nil, fmt.Errorf("read list of probes: %w", err)
	}
	return &l, nil
}

// inMemory is a program as a file that needs no directory, of which some are
// mounted so that nothing in them may be run.
func inMemory(program io.Reader) (*os.File, error) {
	fd, err := unix.MemfdCreate("ctagent", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), "ctagent")
	if _, err := io.Copy(f, program); err != nil {
		f.Close() // the first error is the one to tell
		return nil, err
	}
	return f, nil
}

// The agent's contract for lists: this prefix, and this status where a glob
// chooses nothing.
const (
	agentPrefix     = "ctmatrix agent: "
	selectionStatus = 2
)

func complaint(err error, said string) error {
	said = observe.Bounded(strings.TrimPrefix(strings.TrimSpace(said), agentPrefix))
	var status *exec.ExitError
	switch {
	case errors.As(err, &status) && status.ExitCode() == selectionStatus && said != "":
		return selectionError(said)
	case said != "":
		return fmt.Errorf("list probes: %w: %s", err, said)
	}
	return fmt.Errorf("list probes: %w", err)
}
