package deb

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

const (
	arMagic   = "!<arch>\n"
	arHeader  = 60
	arMaxFile = 4 << 30
)

// archive reads an ar file, which is what a package is on the outside.
type archive struct {
	r    io.Reader
	body io.LimitedReader // the current member
	pad  int64            // a byte that makes its size even
}

func newArchive(r io.Reader) (*archive, error) {
	magic := make([]byte, len(arMagic))
	if _, err := io.ReadFull(r, magic); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if string(magic) != arMagic {
		return nil, fmt.Errorf("%w: not an ar archive", ErrFormat)
	}
	return &archive{r: r, body: io.LimitedReader{R: r}}, nil
}

// next skips to the next member and returns its name, or io.EOF.
func (a *archive) next() (string, error) {
	rest := a.body.N + a.pad
	if n, err := io.CopyN(io.Discard, a.r, rest); err != nil {
		return "", fmt.Errorf("%w: cut off %d bytes before the end of a member", ErrFormat, rest-n)
	}
	var h [arHeader]byte
	if n, err := io.ReadFull(a.r, h[:]); err != nil {
		if n == 0 && errors.Is(err, io.EOF) {
			return "", io.EOF
		}
		return "", fmt.Errorf("%w: member header: %w", ErrFormat, err)
	}
	if h[58] != '`' || h[59] != '\n' {
		return "", fmt.Errorf("%w: bad member header", ErrFormat)
	}
	size, err := strconv.ParseInt(strings.TrimRight(string(h[48:58]), " "), 10, 64)
	if err != nil || size < 0 || size > arMaxFile {
		return "", fmt.Errorf("%w: bad member size %q", ErrFormat, h[48:58])
	}
	a.body.N, a.pad = size, size%2
	return strings.TrimSuffix(strings.TrimRight(string(h[:16]), " "), "/"), nil
}

// member reads the current member.
func (a *archive) member() io.Reader { return &a.body }

// version reads the first member, which says what the package is.
func (a *archive) version() error {
	name, err := a.next()
	if err != nil {
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("%w: empty", ErrFormat)
		}
		return err
	}
	if name != "debian-binary" {
		return fmt.Errorf("%w: starts with %q, not debian-binary", ErrFormat, name)
	}
	v, err := io.ReadAll(io.LimitReader(a.member(), 16))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if !strings.HasPrefix(string(v), "2.") {
		return fmt.Errorf("%w: format %q, want 2.x", ErrFormat, strings.TrimSpace(string(v)))
	}
	return nil
}
