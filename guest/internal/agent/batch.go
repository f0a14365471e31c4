package agent

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// Batch is what a guest runs whose host only leaves a job and reads what it
// says.
type Batch interface {
	// Prepare does what every job needs. A guest is saved after it.
	Prepare() error
	// Run runs a job, given as a command line of the agent.
	Run(argv []string, out io.Writer) error
}

// findChannel maps the host's channel. It is nil where the machine has none.
func findChannel(devices string) (*observe.Channel, error) {
	ids, err := filepath.Glob(filepath.Join(devices, "*", "device"))
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		dir := filepath.Dir(id)
		if read(filepath.Join(dir, "vendor")) == observe.ChannelVendor && read(id) == observe.ChannelDevice {
			return mapChannel()
		}
	}
	return nil, nil
}

// read is the content of a small file, "" where it cannot be read.
func read(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

func mapChannel() (*observe.Channel, error) {
	f, err := os.OpenFile("/dev/mem", os.O_RDWR|unix.O_SYNC, 0)
	if err != nil {
		return nil, fmt.Errorf("open the channel: %w", err)
	}
	defer f.Close() // the mapping outlives it
	mem, err := unix.Mmap(int(f.Fd()), observe.ChannelAddress, observe.ChannelSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map the channel: %w", err)
	}
	return observe.FindChannel(mem)
}

// slack is the least guest time that a host has between "ready" and the moment
// at which a job begins. A guest that spins takes seconds of the host's time for
// it, and a saved one none.
const slack = 10 * time.Second

// errLate says that the guest spun past the moment at which jobs begin.
var errLate = errors.New("the host left no job in time")

// serveChannel waits for one job and runs it.
//
// The guest is saved somewhere in the loop. Which turn of it that is depends on
// the host, and what follows must not: so the loop does nothing but look, is
// never idle, since idle time is skipped, and the job begins at a moment that
// was fixed before it.
func serveChannel(c *observe.Channel, console io.Writer, batch Batch, slack time.Duration) error {
	if err := batch.Prepare(); err != nil {
		return err
	}
	begin := (lab.Now() + slack).Truncate(slack) + slack
	fmt.Fprintln(console, observe.ReadyLine)
	c.SayReady()
	for !c.HasJob() {
		if lab.Now() >= begin {
			return errLate
		}
	}
	argv, err := c.Job()
	if err != nil {
		return err
	}
	if err := lab.WaitUntil(begin); err != nil {
		return err
	}
	c.End(batch.Run(argv, c))
	return nil
}
