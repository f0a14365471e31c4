// Package packets keeps what a guest captured while a probe ran as a capture file,
// which Wireshark opens, and reads it back: the file is all there is. What tracking
// thought of a packet, and what the probe did before it, are comments on it.
package packets

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/pcapng"
)

// Capture is what was captured of one probe on one kernel.
type Capture struct {
	Probe  string
	Kernel string           // for the reader: "6.1.0-56-cloud-amd64 (6.1.192-2)"
	Events []observe.Record // packets and steps, in the order of their time
}

// The comments. A step stands before its packet, "then" behind the last one.
const (
	sayProbe    = "probe: "
	sayTracking = "tracking: "
	sayFate     = "fate: "
	sayStep     = "step at "
	sayThen     = "then at "
)

const application = "ctmatrix"

// media are the link types of media.
var media = map[observe.Medium]uint16{observe.IP: pcapng.LinkRaw, observe.Ethernet: pcapng.LinkEthernet}

// Encode returns the capture as a file. All text in it is escaped.
func Encode(c *Capture) ([]byte, error) {
	s := &pcapng.Section{Comments: []string{sayProbe + c.Probe}, OS: observe.Escape(c.Kernel), Application: application}
	links := map[string]int{}
	var steps []string // that no packet has followed yet
	for _, rec := range c.Events {
		if rec.Step != nil {
			steps = append(steps, stepComment(sayStep, rec.Step))
			continue
		}
		p := rec.Packet
		i, known := links[p.Link]
		if !known {
			i = len(s.Interfaces)
			links[p.Link] = i
			s.Interfaces = append(s.Interfaces, pcapng.Interface{Name: observe.Escape(p.Link), LinkType: media[p.Medium]})
		}
		way := pcapng.Outbound
		if p.In {
			way = pcapng.Inbound
		}
		comments := append(slices.Clone(steps), tagged(sayTracking, p.Tracking)...)
		comments = append(comments, tagged(sayFate, p.Fate)...)
		s.Packets = append(s.Packets, pcapng.Packet{
			Interface: i, At: time.Duration(p.AtNS), Direction: way, Data: p.Data, Comments: comments,
		})
		steps = nil
	}
	if n := len(s.Packets); n > 0 {
		for _, text := range steps {
			s.Packets[n-1].Comments = append(s.Packets[n-1].Comments, sayThen+strings.TrimPrefix(text, sayStep))
		}
	} else {
		s.Comments = append(s.Comments, steps...)
	}
	var out bytes.Buffer
	if err := pcapng.Write(&out, s); err != nil {
		return nil, fmt.Errorf("keep packets of %s: %w", c.Probe, err)
	}
	return out.Bytes(), nil
}

func tagged(tag, text string) []string {
	if text == "" {
		return nil
	}
	return []string{tag + observe.Bounded(text)}
}

// stepComment is "step at 12.000000000 s: waited 30 s".
func stepComment(tag string, s *observe.Step) string {
	return fmt.Sprintf("%s%d.%09d s: %s", tag, s.AtNS/1e9, s.AtNS%1e9, observe.Bounded(s.Text))
}

// Decode reads a file of Encode. Other comments in it are passed over.
func Decode(data []byte) (*Capture, error) {
	s, err := pcapng.Read(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	c := &Capture{Kernel: s.OS}
	for _, text := range s.Comments {
		if name, ok := strings.CutPrefix(text, sayProbe); ok {
			c.Probe = name
		} else if step, ok := stepOf(sayStep, text); ok {
			c.Events = append(c.Events, step)
		}
	}
	for i, p := range s.Packets {
		if err := c.add(s, p); err != nil {
			return nil, fmt.Errorf("packet %d: %w", i+1, err)
		}
	}
	// A clock that goes back, which only a file made by others has, is sorted.
	slices.SortStableFunc(c.Events, func(a, b observe.Record) int { return cmp.Compare(At(a), At(b)) })
	return c, nil
}

func (c *Capture) add(s *pcapng.Section, p pcapng.Packet) error {
	on := s.Interfaces[p.Interface]
	out := &observe.Packet{AtNS: p.At.Nanoseconds(), Link: on.Name, In: p.Direction == pcapng.Inbound, Data: p.Data}
	switch on.LinkType {
	case pcapng.LinkRaw:
		out.Medium = observe.IP
	case pcapng.LinkEthernet:
		out.Medium = observe.Ethernet
	default:
		return fmt.Errorf("link type %d, which ctmatrix does not write", on.LinkType)
	}
	var before, behind []observe.Record
	for _, text := range p.Comments {
		if t, ok := strings.CutPrefix(text, sayTracking); ok {
			out.Tracking = t
		} else if t, ok := strings.CutPrefix(text, sayFate); ok {
			out.Fate = t
		} else if step, ok := stepOf(sayStep, text); ok {
			before = append(before, step)
		} else if step, ok := stepOf(sayThen, text); ok {
			behind = append(behind, step)
		}
	}
	c.Events = append(c.Events, before...)
	c.Events = append(append(c.Events, observe.Record{Packet: out}), behind...)
	return nil
}

// stepOf reads a comment of stepComment.
func stepOf(tag, comment string) (observe.Record, bool) {
	rest, ok := strings.CutPrefix(comment, tag)
	at, text, cut := strings.Cut(rest, " s: ")
	whole, part, dot := strings.Cut(at, ".")
	if !ok || !cut || !dot || len(part) != 9 || text == "" {
		return observe.Record{}, false
	}
	seconds, err1 := strconv.ParseUint(whole, 10, 33)
	nanos, err2 := strconv.ParseUint(part, 10, 32)
	if err1 != nil || err2 != nil {
		return observe.Record{}, false
	}
	return observe.Record{Step: &observe.Step{AtNS: int64(seconds)*1e9 + int64(nanos), Text: text}}, true
}

// At is when an event was, on the guest's clock in nanoseconds.
func At(rec observe.Record) int64 {
	if rec.Step != nil {
		return rec.Step.AtNS
	}
	return rec.Packet.AtNS
}
