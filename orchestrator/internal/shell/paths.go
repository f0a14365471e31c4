package shell

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Mount is a directory of the host that the guest gets a copy of.
type Mount struct {
	Host, Guest string
	Back        bool // what is in the guest's copy at the end is copied back
}

// guestMounts is where directories go that the user gives no place.
const guestMounts = "/mnt"

// ParseMount reads HOSTDIR[:GUESTDIR][:rw]. It does not look whether the
// directory is there.
func ParseMount(text string) (Mount, error) {
	var m Mount
	words := strings.Split(text, ":")
	if n := len(words); n > 1 && words[n-1] == "rw" {
		m.Back, words = true, words[:n-1]
	}
	if len(words) > 2 || words[0] == "" {
		return m, fmt.Errorf("%q: write HOSTDIR, HOSTDIR:GUESTDIR or either with :rw behind", text)
	}
	m.Host = words[0]
	if len(words) == 2 {
		m.Guest = words[1]
	} else {
		abs, err := filepath.Abs(m.Host)
		if err != nil {
			return m, fmt.Errorf("%q: %w", text, err)
		}
		m.Guest = path.Join(guestMounts, filepath.Base(abs))
	}
	var err error
	m.Guest, err = guestPath(m.Guest)
	return m, err
}

// Get is a file or directory of the guest that is copied out at the end.
type Get struct{ Guest, Host string }

// ParseGet reads GUEST:HOST.
func ParseGet(text string) (Get, error) {
	guest, host, ok := strings.Cut(text, ":")
	if !ok || guest == "" || host == "" {
		return Get{}, fmt.Errorf("%q: write GUEST:HOST, such as /root/a.pcap:a.pcap", text)
	}
	guest, err := guestPath(guest)
	return Get{guest, host}, err
}

// guestPath is a path in the guest that can be copied to or from.
func guestPath(p string) (string, error) {
	if !path.IsAbs(p) || strings.ContainsRune(p, 0) {
		return "", fmt.Errorf("%q: a path in the guest begins with /", p)
	}
	p = path.Clean(p)
	for _, no := range []string{"/proc", "/sys", "/dev"} {
		if p == "/" || p == no || strings.HasPrefix(p, no+"/") {
			return "", fmt.Errorf("%q is no place for files of the host: take one below /root, /mnt or /tmp", p)
		}
	}
	return p, nil
}

// Check says what is wrong with a mount before anything is booted.
func (m Mount) Check() error {
	info, err := os.Stat(m.Host)
	if err == nil && !info.IsDir() {
		return fmt.Errorf("%s: not a directory", m.Host)
	}
	return cause(err)
}

// place says where in the host's tree a get's files go: in which directory, and
// under which name. A directory that is there takes them under the guest's name,
// as cp has it; a file that is there is not overwritten.
func (g Get) place() (dir, name string, err error) {
	info, err := os.Stat(g.Host)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		dir, name = filepath.Split(filepath.Clean(g.Host))
	case err != nil:
		return "", "", err
	case info.IsDir():
		dir, name = g.Host, path.Base(g.Guest)
	default:
		return "", "", fmt.Errorf("%s: %w", g.Host, fs.ErrExist)
	}
	if dir == "" {
		dir = "."
	}
	if _, err := os.Stat(dir); err != nil {
		return "", "", err
	}
	if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
		return "", "", fmt.Errorf("%s: %w", filepath.Join(dir, name), fs.ErrExist)
	}
	return dir, name, nil
}

// Check says what is wrong with the host's side of a get.
func (g Get) Check() error {
	_, _, err := g.place()
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: name one that is not there", err)
	}
	return cause(err)
}

// cause is an error of the file system without the system call, nil for nil.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return fmt.Errorf("%s: %w", p.Path, p.Err)
	}
	return err
}
