package initramfs

import (
	"bytes"
	"encoding/json"
	"testing"
)

// FuzzKept reads kept layers of modules: what passes has the digest of its head.
func FuzzKept(f *testing.F) {
	head, err := json.Marshal(cached{SHA256: digestOf([]byte("layer"))})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append(head, "\nlayer"...))
	f.Add([]byte("{}\n"))
	f.Add([]byte("\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		l := decode(data)
		if l == nil {
			return
		}
		var h cached
		if err := json.NewDecoder(bytes.NewReader(data)).Decode(&h); err != nil || h.SHA256 != digestOf(l.Layer) {
			t.Fatalf("%v: a layer of %s under %s", err, digestOf(l.Layer), h.SHA256)
		}
	})
}
