// Package kmsg understands the records of /dev/kmsg, whose format is
// Documentation/ABI/testing/dev-kmsg. It imports nothing that takes time to be
// initialized, since the first process uses it, too.
package kmsg

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// Most is the most bytes that one read of the log returns (CONSOLE_EXT_LOG_MAX).
const Most = 8192

// Parse reads a record: "prefix,sequence,microseconds,flags[,…];text\n KEY=value…".
func Parse(b []byte) (observe.Log, error) {
	head, text, ok := bytes.Cut(b, []byte(";"))
	fields := bytes.Split(head, []byte(","))
	if !ok || len(fields) < 4 {
		return observe.Log{}, fmt.Errorf("kernel log record without a header: %q", b)
	}
	prefix, err := strconv.ParseUint(string(fields[0]), 10, 32)
	if err != nil {
		return observe.Log{}, fmt.Errorf("kernel log record with priority %q", fields[0])
	}
	at, err := strconv.ParseInt(string(fields[2]), 10, 64)
	if err != nil {
		return observe.Log{}, fmt.Errorf("kernel log record with time %q", fields[2])
	}
	text, _, _ = bytes.Cut(text, []byte("\n"))
	return observe.Log{Level: int(prefix & 7), AtUS: at, Text: string(text)}, nil
}
