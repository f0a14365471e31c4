package observe

import (
	"errors"
	"fmt"
)

// Packet is a packet that passed a link of the box while a probe ran, as it was on
// the wire, where the guest captures. Packets and steps of a probe come in the
// order of their time.
type Packet struct {
	AtNS   int64  `json:"at_ns"` // on the guest's monotonic clock
	Link   string `json:"link"`
	Medium Medium `json:"medium"`       // of the link
	In     bool   `json:"in,omitempty"` // into the box; else out of it
	Data   []byte `json:"data"`
	// Tracking says what tracking thought of a packet: its class, and the entry
	// before and after it: "new: none → tcp SYN_SENT unreplied 120 s". It is empty
	// where nobody asked.
	Tracking string `json:"tracking,omitempty"`
	// Fate says of a packet that went into the box what came out because of it.
	Fate string `json:"fate,omitempty"`
}

// Medium says how the frames of a link begin.
type Medium string

// The media.
const (
	IP       Medium = "ip"       // with the header of IP
	Ethernet Medium = "ethernet" // with that of Ethernet
)

// Step is what a probe did beside sending packets, where the guest captures: "set
// net.netfilter.nf_conntrack_max = 7".
type Step struct {
	AtNS int64  `json:"at_ns"` // on the guest's monotonic clock
	Text string `json:"text"`
}

// MaxCapture bounds what the packets and steps of one probe take in the stream, in
// bytes. What is beyond is left out by the guest, which says so in a step.
const MaxCapture = 256 << 10

// MaxFrame bounds a packet in bytes: the longest of IP, with a header of Ethernet
// and a tag of a VLAN before it.
const MaxFrame = 1<<16 - 1 + 18

// MaxLinks bounds the links of a probe.
const MaxLinks = 64

// captured is what a stream has said of the packets of the open probe.
type captured struct {
	at    int64
	bytes int
	links map[string]Medium
}

func (s *state) packet(p *Packet) error {
	switch {
	case p.Medium != IP && p.Medium != Ethernet:
		return fmt.Errorf("packet on unknown medium %.40q", p.Medium)
	case p.Link == "" || len(p.Link) > MaxName:
		return fmt.Errorf("link name of %d bytes", len(p.Link))
	case len(p.Data) == 0 || len(p.Data) > MaxFrame:
		return fmt.Errorf("packet of %d bytes", len(p.Data))
	}
	if err := checkTexts(p.Tracking, p.Fate); err != nil {
		return fmt.Errorf("packet: %w", err)
	}
	if err := s.capture("packet", p.AtNS, len(p.Data)+len(p.Tracking)+len(p.Fate)); err != nil {
		return err
	}
	c := &s.captured
	if c.links == nil {
		c.links = map[string]Medium{}
	}
	if was, known := c.links[p.Link]; known && was != p.Medium {
		return fmt.Errorf("link %.40q is of medium %s and of %s", p.Link, was, p.Medium)
	}
	if c.links[p.Link] = p.Medium; len(c.links) > MaxLinks {
		return fmt.Errorf("probe %s has more than %d links", s.open, MaxLinks)
	}
	return nil
}

func (s *state) step(p *Step) error {
	if p.Text == "" {
		return errors.New("step without a text")
	}
	if err := checkTexts(p.Text); err != nil {
		return fmt.Errorf("step: %w", err)
	}
	return s.capture("step", p.AtNS, len(p.Text))
}

// capture holds what packets and steps have in common to the rules.
func (s *state) capture(what string, at int64, size int) error {
	c := &s.captured
	switch {
	case s.open == "":
		return fmt.Errorf("%s outside a probe", what)
	case at < 0 || at < c.at:
		return fmt.Errorf("%s at %d ns, after one at %d ns", what, at, c.at)
	case c.bytes+size > MaxCapture:
		return fmt.Errorf("packets and steps of probe %s take more than %d bytes", s.open, MaxCapture)
	case s.ncaptured >= s.limit.Captured:
		return fmt.Errorf("more than %d packets and steps", s.limit.Captured)
	}
	c.at, c.bytes = at, c.bytes+size
	s.ncaptured++
	return nil
}
