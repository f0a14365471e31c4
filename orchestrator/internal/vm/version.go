package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// MinVersion is the oldest QEMU that has all of a guest's arguments.
const MinVersion = "5.0"

// askTime is how long a QEMU may take to answer a question that starts no guest.
const askTime = 20 * time.Second

var versionForm = regexp.MustCompile(`^QEMU emulator version ([0-9]+(?:\.[0-9]+)+)`)

// Path finds a QEMU by name or path.
func Path(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, ErrNoQEMU)
	}
	return path, nil
}

// Version asks a QEMU for its version: "7.2.22". One older than MinVersion is a
// *TooOldError.
func Version(ctx context.Context, qemu string) (string, error) {
	out, err := ask(ctx, qemu, "--version")
	if err != nil {
		return "", err
	}
	version, ok := parseVersion(string(out))
	if !ok {
		return "", fmt.Errorf("%s is no QEMU: it calls itself %q", qemu, firstLine(string(out)))
	}
	if older(version, MinVersion) {
		return "", &TooOldError{Program: qemu, Version: version}
	}
	return version, nil
}

// Build names one build of QEMU: what it saved, no other need be able to read.
// Two of the same version may differ by a distribution's patches.
func Build(qemu string) (string, error) {
	path, err := Path(qemu)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("look at QEMU: %w", err)
	}
	return fmt.Sprintf("%s of %d bytes, %s", path, info.Size(), info.ModTime().UTC().Format(time.RFC3339Nano)), nil
}

// HasSandbox says whether a QEMU is built so that a Sandbox can be had.
func HasSandbox(ctx context.Context, qemu string) (bool, error) {
	return knows(ctx, qemu, append(Sandbox{}.args(), "-machine", "none", "-accel", "help")...)
}

// knows says whether a QEMU takes arguments that start no guest. One that does
// not know them refuses.
func knows(ctx context.Context, qemu string, args ...string) (bool, error) {
	_, err := ask(ctx, qemu, args...)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return false, nil
	}
	return err == nil, err
}

func ask(ctx context.Context, qemu string, args ...string) ([]byte, error) {
	path, err := Path(qemu)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("ask %s for %s: %w", qemu, args[0], err)
	}
	return out, nil
}

func parseVersion(out string) (string, bool) {
	m := versionForm.FindStringSubmatch(out)
	if m == nil {
		return "", false
	}
	return m[1], true
}

// older compares versions number by number.
func older(a, b string) bool {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(as), len(bs)) {
		x, errX := strconv.Atoi(as[i])
		y, errY := strconv.Atoi(bs[i])
		if errX != nil || errY != nil || x != y {
			return errX == nil && errY == nil && x < y
		}
	}
	return len(as) < len(bs)
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}
