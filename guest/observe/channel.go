package observe

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"sync/atomic"
	"unsafe"
)

// Channel is memory that host and guest share: the host puts a job into it, the
// guest writes what the job says. Neither interrupts the other, and nothing in
// the guest takes another course because the host reads early or late: that is
// what makes a restored guest repeat itself to the instruction.
//
// Each end has methods of its own and is used by one goroutine. The host trusts
// nothing that it finds there but that memory is memory.
type Channel struct{ mem []byte }

// ChannelSize is the size of a channel in bytes, a power of two as QEMU wants
// it. What a job says beyond that is lost, and is an error.
const ChannelSize = 16 << 20

// The channel is the memory at ChannelAddress in a guest that has the PCI device:
// QEMU's virtio-pmem, for whose memory no driver is needed.
const (
	ChannelAddress = 64 << 30
	ChannelVendor  = "0x1af4"
	ChannelDevice  = "0x105b"
)

// Offsets of 32-bit words, and of what follows them.
const (
	chanMagic  = 0  // set by the host
	chanGuest  = 4  // a guest state
	chanGo     = 8  // set by the host: the job is there
	chanJobLen = 12 // bytes of the job
	chanJobSum = 16 // their CRC-32
	chanOutLen = 20 // bytes of output so far
	chanErrLen = 24 // bytes of the error that ended the job
	chanErr    = 1 << 10
	chanJob    = 4 << 10
	chanOut    = 64 << 10
)

// magic begins a channel: a guest that finds other memory leaves it alone.
const magic = 0x63746d78

// States of the guest.
const (
	guestAbsent = iota
	guestReady  // waits for a job
	guestEnded  // the job has ended
)

// ErrChannel says that the memory is no channel or that it is damaged.
var ErrChannel = errors.New("not a channel of this build")

// NewChannel makes a channel of fresh memory: the host's part.
func NewChannel(mem []byte) (*Channel, error) {
	c, err := sized(mem)
	if err == nil {
		c.word(chanMagic).Store(magic)
	}
	return c, err
}

// FindChannel finds the channel that the host made: the guest's part.
func FindChannel(mem []byte) (*Channel, error) {
	c, err := sized(mem)
	if err == nil && c.word(chanMagic).Load() != magic {
		return nil, ErrChannel
	}
	return c, err
}

func sized(mem []byte) (*Channel, error) {
	if len(mem) != ChannelSize {
		return nil, fmt.Errorf("%w: %d bytes, want %d", ErrChannel, len(mem), ChannelSize)
	}
	return &Channel{mem}, nil
}

func (c *Channel) word(at int) *atomic.Uint32 {
	return (*atomic.Uint32)(unsafe.Pointer(&c.mem[at]))
}

// Put leaves a command for the guest, which takes it as soon as it looks. The
// host's part.
func (c *Channel) Put(argv []string) error {
	job, err := json.Marshal(argv)
	if err != nil {
		return fmt.Errorf("encode job: %w", err)
	}
	if len(job) > chanOut-chanJob {
		return fmt.Errorf("job of %d bytes, more than %d", len(job), chanOut-chanJob)
	}
	copy(c.mem[chanJob:], job)
	c.word(chanJobLen).Store(uint32(len(job)))
	c.word(chanJobSum).Store(crc32.ChecksumIEEE(job))
	c.word(chanGo).Store(1)
	return nil
}

// Ready reports whether the guest waits for a job. The host's part.
func (c *Channel) Ready() bool { return c.word(chanGuest).Load() == guestReady }

// Output returns what the job has said after the first n bytes. The host's part.
func (c *Channel) Output(n int) []byte {
	end := min(int(c.word(chanOutLen).Load()), len(c.mem)-chanOut)
	if end <= n {
		return nil
	}
	out := make([]byte, end-n)
	copy(out, c.mem[chanOut+n:])
	return out
}

// Ended reports whether the job has ended, and with which error: "" if none. All
// its output is there then. The host's part.
func (c *Channel) Ended() (bool, string) {
	if c.word(chanGuest).Load() != guestEnded {
		return false, ""
	}
	n := min(int(c.word(chanErrLen).Load()), chanJob-chanErr)
	return true, string(c.mem[chanErr : chanErr+n])
}

// SayReady tells the host that the guest waits. The guest's part.
func (c *Channel) SayReady() { c.word(chanGuest).Store(guestReady) }

// HasJob reports whether the host has put a job. It takes no system call, so
// that a guest that asks again and again is never idle. The guest's part.
func (c *Channel) HasJob() bool { return c.word(chanGo).Load() != 0 }

// Job returns the command to run. The guest's part.
func (c *Channel) Job() ([]string, error) {
	n := int(c.word(chanJobLen).Load())
	if n > chanOut-chanJob || crc32.ChecksumIEEE(c.mem[chanJob:chanJob+n]) != c.word(chanJobSum).Load() {
		return nil, fmt.Errorf("%w: its job is damaged", ErrChannel)
	}
	var argv []string
	if err := json.Unmarshal(c.mem[chanJob:chanJob+n], &argv); err != nil {
		return nil, fmt.Errorf("decode job: %w", err)
	}
	return argv, nil
}

// ErrChannelFull says that a job says more than a channel holds.
var ErrChannelFull = errors.New("the channel is full")

// Write adds to the job's output. The guest's part.
func (c *Channel) Write(p []byte) (int, error) {
	at := int(c.word(chanOutLen).Load())
	if len(p) > len(c.mem)-chanOut-at {
		return 0, ErrChannelFull
	}
	copy(c.mem[chanOut+at:], p)
	c.word(chanOutLen).Store(uint32(at + len(p)))
	return len(p), nil
}

// End says that the job has ended, with an error or nil. The guest's part.
func (c *Channel) End(err error) {
	if err != nil {
		n := copy(c.mem[chanErr:chanJob], err.Error())
		c.word(chanErrLen).Store(uint32(n))
	}
	c.word(chanGuest).Store(guestEnded)
}
