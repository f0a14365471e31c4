package results

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzEntry reads kept cells behind a checksum that is right. What is read of one
// can be written, and reads the same.
func FuzzEntry(f *testing.F) {
	id := Identity{Kernel: "ab", Agent: "cd"}
	c, rows := cell(plan().Cells[0])
	c.Kernel.Digest, c.Guest.Agent = id.Kernel, id.Agent
	c.Cached = []Origin{{Run: "runs/a", At: began.UTC(), Probes: []string{"a/b", "a/c"}}}
	data, err := encodeEntry(id, Known{Cell: c, Rows: rows, Console: []byte("boot")})
	if err != nil {
		f.Fatal(err)
	}
	body := data[len(entryHead)+64+1:]
	f.Add(body)
	f.Add([]byte(`{"identity":{},"cell":{"outcome":"ok"},"console":""}` + "\n" + `{"row":"a/b/c.d","kind":"text","value":"e"}` + "\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		known, err := parseEntry(append([]byte(entryHead+sumOf(body)+"\n"), body...), id)
		if err != nil {
			return
		}
		again, err := encodeEntry(id, *known)
		if err != nil {
			t.Fatal(err)
		}
		back, err := parseEntry(again, id)
		if err != nil || cmp.Diff(known.Rows, back.Rows) != "" || len(known.Cell.Probes) != len(back.Cell.Probes) {
			t.Fatalf("%v\n%s", err, cmp.Diff(known, back))
		}
	})
}
