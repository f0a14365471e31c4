package remote

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// ErrArgument says that a command cannot be told to the guest as it is.
var ErrArgument = errors.New("not a command that a guest can be given")

// Quote writes argv so that github.com/google/shlex, which splits it in the
// guest, reads it back. That knows characters, not bytes: what is not UTF-8 is
// refused, and so is NUL, which no program can be given.
func Quote(argv []string) (string, error) {
	if len(argv) == 0 || argv[0] == "" {
		return "", fmt.Errorf("%w: it has no name", ErrArgument)
	}
	words := make([]string, len(argv))
	for i, w := range argv {
		if !utf8.ValidString(w) || strings.Contains(w, "\x00") {
			return "", fmt.Errorf("%w: argument %d, %q, is no text", ErrArgument, i, w)
		}
		words[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
	}
	return strings.Join(words, " "), nil
}
