package first

import (
	"fmt"
	"io"
	"syscall"

	"github.com/ctmatrix/ctmatrix/guest/internal/kmsg"
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
	buf := make([]byte, kmsg.Most)
	for {
		n, err := syscall.Read(fd, buf)
		if err == syscall.EINTR || err == syscall.EPIPE { // EPIPE: records were overwritten meanwhile
			continue
		}
		if err != nil || n == 0 {
			break // EAGAIN: that was all
		}
		if line := complaint(buf[:n]); line != "" {
			lines = append(lines, line)
		}
	}
	for _, line := range lines[max(0, len(lines)-mostTold):] {
		fmt.Fprintln(console, line)
	}
}

// complaint is a record of the log as the console would show it, and "" for one that
// is no warning.
func complaint(record []byte) string {
	line, err := kmsg.Parse(record)
	if err != nil || line.Level > warning {
		return ""
	}
	return fmt.Sprintf("[%12.6f] %s", float64(line.AtUS)/1e6, observe.Escape(line.Text))
}
