// Package kfile reads and writes the small files of /proc and /sys. It makes as few
// system calls as there can be: os asks for more, and has the runtime's poller watch
// each file that it opens, which took longer than what was asked of the kernel.
package kfile

import (
	"io/fs"

	"golang.org/x/sys/unix"
)

// most is as much as the kernel puts into most of these files: a page.
const most = 4096

// Read reads a file whole. Its error is an *fs.PathError. It may be used by several
// goroutines at once, and opens the file on the calling thread.
func Read(path string) ([]byte, error) {
	fd, err := open(path, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd) // only read
	b := make([]byte, 0, 128)
	for {
		n, err := unix.Read(fd, b[len(b):cap(b)])
		switch {
		case err == unix.EINTR:
		case err != nil:
			return nil, &fs.PathError{Op: "read", Path: path, Err: err}
		case n == 0:
			return b, nil
		default:
			b = b[:len(b)+n]
		}
		if len(b) == cap(b) {
			b = append(make([]byte, 0, max(most, 2*cap(b))), b...)
		}
	}
}

// Write writes a value in one piece, which is how the kernel wants it. Its error is
// an *fs.PathError.
func Write(path, value string) error {
	fd, err := open(path, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer unix.Close(fd) // the kernel has taken the value when it is written
	for {
		_, err := unix.Write(fd, []byte(value))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return &fs.PathError{Op: "write", Path: path, Err: err}
		}
		return nil
	}
}

func open(path string, how int) (int, error) {
	for {
		fd, err := unix.Open(path, how|unix.O_CLOEXEC, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return -1, &fs.PathError{Op: "open", Path: path, Err: err}
		}
		return fd, nil
	}
}
