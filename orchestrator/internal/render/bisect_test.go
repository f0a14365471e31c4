package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/images/changelog"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/bisect"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// bisection is a search among kernels, and what they would answer. One that
// answers nothing cannot be fetched.
type bisection struct {
	row      string
	versions []string
	values   []string
	all      bool
	rounds   int // after which it is interrupted; 0: never
	excerpt  bisect.Excerpt
}

func answer(value string) table.Value {
	switch value {
	case "":
		return table.Value{Status: table.Missing, Text: "package has gone from the mirror: linux-image-6.12.0_amd64.deb"}
	case "unsupported":
		return table.Value{Status: table.Unsupported, Text: "no nft_limit"}
	}
	return table.Value{Status: table.Recorded, Kind: observe.Text, Text: value}
}

// write searches as the command line does.
func (b bisection) write(t *testing.T, o Options) (text, asJSON []byte) {
	t.Helper()
	var kernels []bisect.Kernel
	for _, v := range b.versions {
		upstream, _, _ := strings.Cut(v, "-")
		parts := strings.SplitN(upstream, ".", 3)
		kernels = append(kernels, bisect.Kernel{Version: v, Release: upstream + "+deb13-cloud-amd64", Series: parts[0] + "." + parts[1]})
	}
	r := &bisect.Report{Row: b.row, Question: "Does a RST with exactly the next sequence number close the entry?", Search: bisect.New(kernels, b.all)}
	var buf bytes.Buffer
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(BisectHead(&buf, r, o))
	rounds := 0
	for next := r.Search.Next(); len(next) > 0; next = r.Search.Next() {
		if rounds++; rounds == b.rounds {
			r.Cut = true
			break
		}
		for _, i := range next {
			r.Search.Answer(i, answer(b.values[i]))
			check(BisectStep(&buf, r, len(r.Search.Asked()), o))
		}
	}
	for range r.Search.Boundaries() {
		r.Excerpts = append(r.Excerpts, b.excerpt)
	}
	var js bytes.Buffer
	check(BisectText(&buf, r, summary, o))
	check(BisectJSON(&js, r, summary))
	return buf.Bytes(), js.Bytes()
}

var series612 = []string{
	"6.12.43-1~bpo12+1", "6.12.57-1~bpo12+1", "6.12.69-1~bpo12+1", "6.12.73-1~bpo12+1", "6.12.85-1~bpo12+1",
	"6.12.90-1", "6.12.94-1", "6.12.95-1", "6.12.100-1~deb12u1", "6.12.117-1",
}

var excerpt = bisect.Excerpt{
	Versions: 2, LeftOut: 1388, Topics: []string{"tcp", "tun"},
	Entries: []changelog.Entry{
		{Source: "linux", Version: "6.12.94-1", Suite: "trixie-security", Changes: []changelog.Change{
			{
				Under: []string{"New upstream stable update:", "https://www.kernel.org/pub/linux/kernel/v6.x/ChangeLog-6.12.93"},
				Text:  "netfilter: conntrack: tcp: do not force CLOSE on invalid-seq RST without direction check",
			}, {
				Under: []string{"New upstream stable update:", "https://www.kernel.org/pub/linux/kernel/v6.x/ChangeLog-6.12.93"},
				Text:  "tun: free page on build_skb failure in tun_xdp_one() (CVE-2026-46322)",
			}, {
				Under: []string{"New upstream stable update:", "https://www.kernel.org/pub/linux/kernel/v6.x/ChangeLog-6.12.94"},
				Text:  "netfilter: revalidate bridge ports",
			},
		}},
		{Source: "linux", Version: "6.12.93-1", Suite: "trixie-security", Changes: []changelog.Change{
			{Text: "netfilter: Fix what Debian broke (Closes: #1)"},
		}},
	},
}

// fill is n times a value.
func fill(n int, value string) []string {
	var out []string
	for range n {
		out = append(out, value)
	}
	return out
}

var bisections = map[string]bisection{
	"inside": {row: "tcp-rst/exact/rst.class", versions: series612, values: append(fill(6, "1 established"), fill(4, "1 invalid")...), excerpt: excerpt},
	"skips": {
		row: "tcp-rst/exact/rst.class", versions: series612,
		values:  []string{"", "yes", "yes", "yes", "", "", "no", "maybe", "no", ""},
		excerpt: bisect.Excerpt{Missing: "linux-image-6.12.94+deb13-cloud-amd64: not in a signed index; --allow-unverified takes it"},
	},
	"series": {
		row:      "limits/rate",
		versions: []string{"5.10.218-1", "5.10.262-1", "6.1.170-3", "6.1.190-1", "6.1.192-2", "6.12.43-1", "6.12.117-1"},
		values:   []string{"unsupported", "unsupported", "yes", "yes", "no", "yes", "yes"},
		excerpt:  bisect.Excerpt{Versions: 1, LeftOut: 3764},
	},
	"same":     {row: "tcp-rst/exact/rst.class", versions: series612, values: fill(10, "10")},
	"all":      {row: "tcp-rst/exact/rst.class", versions: series612, values: append(append(fill(3, "1"), fill(3, "2")...), fill(4, "1")...), all: true},
	"nothing":  {row: "tcp-rst/exact/rst.class", versions: series612, values: fill(10, "1"), all: true},
	"failed":   {row: "tcp-rst/exact/rst.class", versions: series612, values: fill(10, "")},
	"cut":      {row: "tcp-rst/exact/rst.class", versions: series612, values: append(fill(6, "1"), fill(4, "2")...), rounds: 3, excerpt: bisect.Excerpt{Missing: "interrupted"}},
	"cutearly": {row: "tcp-rst/exact/rst.class", versions: series612, values: fill(10, "1"), rounds: 1},
	"hostile": {
		row: "tcp-rst/exact/rst.class", versions: []string{"6.12.43-1", "6.12.57-1"},
		values: []string{"\x1b[2J" + strings.Repeat("long ", 60), "a\nb"},
		excerpt: bisect.Excerpt{Versions: 1, Entries: []changelog.Entry{{Source: "linux", Version: "6.12.57-1", Suite: "x", Changes: []changelog.Change{
			{Under: []string{"\x1b[2J"}, Text: "netfilter: \x1b]0;title\x07" + strings.Repeat("wordwithoutend", 20)},
		}}}},
	},
}

func TestBisect(t *testing.T) {
	for name, b := range bisections {
		t.Run(name, func(t *testing.T) {
			text, js := b.write(t, Options{Width: 80})
			golden(t, "bisect."+name+".80.txt", text)
			golden(t, "bisect."+name+".json", js)
			color, _ := b.write(t, Options{Width: 80, Color: true})
			golden(t, "bisect."+name+".80.color.txt", color)
			for _, width := range []int{57, 80, 120, 160} {
				text, _ := b.write(t, Options{Width: width})
				for _, l := range strings.Split(string(text), "\n") {
					if !strings.Contains(l, "://") { // which is never folded
						fits(t, []byte(l), width)
					}
				}
			}
			var back Bisection
			dec := json.NewDecoder(bytes.NewReader(js))
			dec.DisallowUnknownFields()
			if err := dec.Decode(&back); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(js), "null") {
				t.Errorf("null in %s", js)
			}
			if back.Row != b.row || len(back.Steps) == 0 && b.rounds != 1 {
				t.Error(fmt.Sprint("read back ", back))
			}
		})
	}
}
