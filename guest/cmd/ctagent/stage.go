package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/modules"
	"github.com/ctmatrix/ctmatrix/guest/internal/suite"
	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// stage sets a probe up until its standard input ends, and writes a record stream
// in which the probe begins when it stands. Its box can be entered through
// observe.BoxNamespace meanwhile.
func stage(args []string, stdin io.Reader, w io.Writer) error {
	if len(args) != 1 {
		return usage
	}
	loader, err := modules.Open()
	if err != nil {
		return err
	}
	records := observe.NewWriter(w)
	return suite.Hold(args[0], loader, records.Write, func(begin func() error) (err error) {
		if err := nameNamespace(observe.BoxNamespace); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, forgetNamespace(observe.BoxNamespace)) }()
		if err := begin(); err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, stdin)
		return err
	})
}

// nameNamespace gives the calling thread's network namespace a name in the way
// of ip-netns(8).
func nameNamespace(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDONLY, 0o400)
	if err != nil {
		return fmt.Errorf("name network namespace: %w", err)
	}
	f.Close() // something to mount on
	if err := unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, ""); err != nil {
		return errors.Join(fmt.Errorf("name network namespace: %w", err), os.Remove(path))
	}
	return nil
}

func forgetNamespace(path string) error {
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("forget network namespace: %w", err)
	}
	return os.Remove(path)
}
