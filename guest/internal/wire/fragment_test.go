package wire

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func parsed(t *testing.T, p Packet) Seen {
	t.Helper()
	s, err := Parse(p.Data)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestFragments(t *testing.T) {
	at := netip.MustParseAddrPort
	text := strings.Repeat("x", 992) // with UDP's header, 1000
	v4, v6 := UDP(at("198.18.0.2:10000"), at("198.19.0.2:53"), text), UDP(at("[2001:db8:1::2]:10000"), at("[2001:db8:2::2]:53"), text)
	for name, c := range map[string]struct {
		pieces []Packet
		want   []string
	}{
		"v4":       {Fragments(v4.NoDF(), 7, 400), []string{"0+400 more", "400+400 more", "800+200"}},
		"v4, df":   {Fragments(v4.DF(), 7, 800), []string{"0+800 more don't fragment", "800+200 don't fragment"}},
		"v6":       {Fragments(v6, 7, 400), []string{"0+400 more", "400+400 more", "800+200"}},
		"v6, one":  {PiecesOf(v6, 7, Piece{0, 1000}), []string{"whole 1000 in a fragment"}},
		"overlap":  {PiecesOf(v4.NoDF(), 7, Piece{0, 400}, Piece{392, 1000}), []string{"0+400 more", "392+608"}},
		"v4 whole": {[]Packet{v4.NoDF()}, []string{"whole 1000"}},
		"v6 whole": {[]Packet{v6.NoDF()}, []string{"whole 1000"}},
	} {
		var got []string
		for _, p := range c.pieces {
			got = append(got, Shape(Seen{Data: p.Data}))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// Put together again, the pieces are the packet.
func TestFragmentsHoldAll(t *testing.T) {
	at := netip.MustParseAddrPort
	p := UDP(at("198.18.0.2:10000"), at("198.19.0.2:53"), strings.Repeat("abcdefgh", 100))
	var segment []byte
	for _, piece := range Fragments(p, 7, 96) {
		segment = append(segment, piece.Segment()...)
	}
	if !slices.Equal(segment, p.Segment()) {
		t.Errorf("%d bytes in pieces, %d in one", len(segment), len(p.Segment()))
	}
}
