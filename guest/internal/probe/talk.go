package probe

import "github.com/ctmatrix/ctmatrix/guest/internal/wire"

// talk are the tuples of what a probe has sent since it last emptied the table,
// but for those of answers: of the entries that are looked for first.
type talk struct {
	tuples []wire.Tuple
	known  map[wire.Tuple]bool
	much   bool // more than are worth keeping
}

// mostTuples are looked for at no more cost than a list of a table with the
// buckets that a guest has by default.
const mostTuples = 512

func (t *talk) heard(pkts []wire.Packet) {
	for _, p := range pkts {
		if t.much {
			return
		}
		tuple, _, ok := wire.TupleOf(p.Data)
		if !ok || t.known[tuple] || t.known[tuple.Inverse()] {
			continue
		}
		if t.known == nil {
			t.known = map[wire.Tuple]bool{}
		}
		t.known[tuple] = true
		t.tuples = append(t.tuples, tuple)
		t.much = len(t.tuples) > mostTuples
	}
}

// worthAsking reports whether the table may hold nothing but what was talked of.
func (t *talk) worthAsking() bool { return len(t.tuples) > 0 && !t.much }
