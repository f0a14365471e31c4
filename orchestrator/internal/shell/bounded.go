package shell

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// bounded keeps the first bytes that are written to it.
type bounded struct {
	bytes.Buffer
	left int
}

func (b *bounded) Write(p []byte) (int, error) {
	n := min(len(p), b.left)
	b.left -= n
	b.Buffer.Write(p[:n])
	return len(p), nil
}

// with is err with what was said, escaped.
func (b *bounded) with(err error) error {
	text := strings.TrimSpace(b.String())
	if err == nil || text == "" {
		return err
	}
	first, _, _ := strings.Cut(text, "\n")
	return fmt.Errorf("%w: %s", err, observe.Bounded(first))
}
