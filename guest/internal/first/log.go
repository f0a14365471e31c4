package first

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"syscall"

	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// mostTold bounds the lines of the kernel's log that are told when the server ended:
// of a guest without memory some traces follow the one that matters.
const mostTold = 200

// warning is the least of a log's levels that is told: the others are not about what
// went wrong.
const warning = 4

// tellLog prints what the kernel last complained of, which the console may have been
// told not to show: that it killed the server for want of memory, say.
func tellLog(console io.Writer) {
	fd, err := syscall.Open("/dev/kmsg", syscall.O_RDONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if err != nil {
		fmt.Fprintf(console, "%sinit: open the kernel's log: %v\n", Prefix, err)
		return
	}
	defer syscall.Close(fd) // only read
	var lines []string
	buf := make([]byte, 16<<10) // of a record, of which a line has 1024 bytes at most
	for {
		n, err := syscall.Read(fd, buf)
		if err == syscall.EINTR || err == syscall.EPIPE { // EPIPE: records were overwritten meanwhile
			continue
		}
		if err != nil || n == 0 {
			break // EAGAIN: that was all
		}
		if line := complaint(string(buf[:n])); line != "" {
			lines = append(lines, line)
		}
	}
	for _, line := range lines[max(0, len(lines)-mostTold):] {
		fmt.Fprintln(console, line)
	}
}

// complaint is a record of /dev/kmsg as the console would show it, and "" for one
// that is no warning: "priority,number,microseconds,flags;text\n…"
// (Documentation/ABI/testing/dev-kmsg).
func complaint(record string) string {
	head, text, ok := strings.Cut(record, ";")
	fields := strings.Split(head, ",")
	if !ok || len(fields) < 3 {
		return ""
	}
	priority, err := strconv.ParseUint(fields[0], 10, 32)
	at, wrong := strconv.ParseInt(fields[2], 10, 64)
	if err != nil || wrong != nil || priority&7 > warning {
		return ""
	}
	text, _, _ = strings.Cut(text, "\n")
	return fmt.Sprintf("[%12.6f] %s", float64(at)/1e6, observe.Escape(text))
}
