package observe

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

const (
	hello = `{"hello":{"protocol":2,"release":"6.1","version":"#1","arch":"x86_64","modules":[],"probes":["a/b","a/c"]}}` + "\n"
	begin = `{"begin":{"probe":"a/b"}}` + "\n"
	row   = `{"row":{"row":"a/b/syn.raw","kind":"count","value":"10"}}` + "\n"
	klog  = `{"log":{"level":4,"at_us":12,"text":"table full"}}` + "\n"
	pkt   = `{"packet":{"at_ns":5,"link":"near","medium":"ip","in":true,"data":"RQA=","tracking":"new: none","fate":"nothing came out"}}` + "\n"
	step  = `{"step":{"at_ns":5,"text":"set a = 1"}}` + "\n"
	end   = `{"end":{"probe":"a/b","outcome":"recorded","elapsed_ns":7}}` + "\n"
	done  = `{"done":{"probes":1,"rows":1}}` + "\n"
	whole = hello + begin + row + klog + pkt + step + end + done
)

func readAll(r *Reader) ([]Record, error) {
	var out []Record
	for {
		rec, err := r.Next()
		if err != nil {
			return out, err
		}
		out = append(out, rec)
	}
}

func TestReaderAcceptsAndWriterRepeats(t *testing.T) {
	recs, err := readAll(NewReader(iotest.OneByteReader(strings.NewReader(whole)), Limits{}))
	if err != io.EOF || len(recs) != 8 {
		t.Fatalf("%d records, %v", len(recs), err)
	}
	want := Record{Row: &Row{Name: "a/b/syn.raw", Kind: Count, Value: "10"}}
	if !reflect.DeepEqual(recs[2], want) {
		t.Errorf("third record is %+v", recs[2])
	}
	var buf bytes.Buffer
	w := NewWriter(&buf)
	for _, rec := range recs {
		if err := w.Write(rec); err != nil {
			t.Fatal(err)
		}
	}
	if buf.String() != whole {
		t.Errorf("written again:\n%s\nwant\n%s", buf.String(), whole)
	}
}

func TestReaderRefuses(t *testing.T) {
	probe := func(body string) string { return hello + begin + body }
	for name, c := range map[string]struct {
		in   string
		line int
		says string
	}{
		"empty line":          {"\n", 1, "not a JSON object"},
		"no JSON":             {"Kernel panic\n", 1, "not a JSON object"},
		"no member":           {"{}\n", 1, "without a member"},
		"unknown record":      {`{"shell":{}}` + "\n", 1, "unknown record"},
		"other case":          {strings.Replace(hello, `"hello"`, `"Hello"`, 1), 1, "unknown record"},
		"two members":         {hello + `{"begin":{"probe":"a/b"},"end":{}}` + "\n", 2, "more than the member"},
		"a member twice":      {hello + `{"begin":{"probe":"a/b"},"begin":{"probe":"a/b"}}` + "\n", 2, "more than the member"},
		"null":                {hello + `{"begin":null}` + "\n", 2, "not an object"},
		"unknown field":       {hello + `{"begin":{"probe":"a/b","x":1}}` + "\n", 2, "unknown field"},
		"two on a line":       {hello + strings.TrimSpace(begin) + begin, 2, "something follows"},
		"no hello":            {begin, 1, "first record is not hello"},
		"hello again":         {hello + hello, 2, "hello again"},
		"other protocol":      {strings.Replace(hello, "2", "9", 1), 1, "protocol 9"},
		"bad probe name":      {strings.Replace(hello, "a/b", "a b", 1), 1, "not family/probe"},
		"probe twice":         {strings.Replace(hello, "a/c", "a/b", 1), 1, "twice"},
		"begin in begin":      {probe(begin), 3, "inside probe"},
		"begin of unknown":    {hello + strings.Replace(begin, "a/b", "x/y", 1), 2, "does not name"},
		"begin again":         {probe(row + end + begin), 5, "again"},
		"row outside":         {hello + row, 2, "outside a probe"},
		"row of other probe":  {probe(strings.Replace(row, "a/b", "a/c", 1)), 3, "in probe a/b"},
		"row twice":           {probe(row + row), 4, "twice"},
		"row of no kind":      {probe(strings.Replace(row, "count", "opinion", 1)), 3, "unknown kind"},
		"log outside":         {hello + klog, 2, "outside a probe"},
		"log level":           {probe(strings.Replace(klog, "4", "8", 1)), 3, "log level"},
		"packet outside":      {hello + pkt, 2, "outside a probe"},
		"step outside":        {hello + step, 2, "outside a probe"},
		"packet after end":    {probe(end + pkt), 4, "outside a probe"},
		"no medium":           {probe(strings.Replace(pkt, `"ip"`, `"air"`, 1)), 3, "unknown medium"},
		"media mixed":         {probe(pkt + strings.Replace(pkt, `"ip"`, `"ethernet"`, 1)), 4, "of medium ip and of ethernet"},
		"no link":             {probe(strings.Replace(pkt, "near", "", 1)), 3, "link name"},
		"empty packet":        {probe(strings.Replace(pkt, "RQA=", "", 1)), 3, "packet of 0 bytes"},
		"packet not base64":   {probe(strings.Replace(pkt, "RQA=", "?", 1)), 3, "parse packet"},
		"packet goes back":    {probe(step + strings.Replace(pkt, "5", "4", 1)), 4, "after one at 5 ns"},
		"negative packet":     {probe(strings.Replace(pkt, "5", "-5", 1)), 3, "packet at -5 ns"},
		"tracking too long":   {probe(strings.Replace(pkt, "new: none", strings.Repeat("t", MaxValue+1), 1)), 3, "text of"},
		"step without a text": {probe(strings.Replace(step, "set a = 1", "", 1)), 3, "without a text"},
		"end of other probe":  {probe(strings.Replace(end, "a/b", "a/c", 1)), 3, "inside probe a/b"},
		"end without begin":   {hello + end, 2, "has not begun"},
		"unknown outcome":     {probe(strings.Replace(end, "recorded", "fine", 1)), 3, "unknown outcome"},
		"rows of a broken":    {probe(row + strings.Replace(end, "recorded", "broken", 1)), 4, "has rows"},
		"negative time":       {probe(strings.Replace(end, "7", "-7", 1)), 3, "took -7"},
		"done inside":         {probe(done), 3, "done inside"},
		"done counts probes":  {probe(row + end + strings.Replace(done, "1", "2", 1)), 5, "counts 2 probes"},
		"done counts rows":    {probe(end + done), 4, "counts 1 rows"},
		"after done":          {whole + begin, 9, "after done"},
		"garbage after done":  {whole + "x\n", 9, "not a JSON object"},
		"too long":            {hello + strings.Repeat("x", 9000) + "\n", 2, "more than 8000 bytes"},
		"too long, unending":  {strings.Repeat("x", 100000), 1, "more than 8000 bytes"},
		"value too long":      {probe(strings.Replace(row, `"10"`, `"`+strings.Repeat("v", MaxValue+1)+`"`, 1)), 3, "value of"},
		"number out of range": {hello + begin + `{"log":{"level":1e99,"at_us":0,"text":""}}` + "\n", 3, "parse log"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := readAll(NewReader(strings.NewReader(c.in), Limits{Line: 8000}))
			var se *StreamError
			if !errors.As(err, &se) || se.Line != c.line || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want line %d to say %q", err, c.line, c.says)
			}
		})
	}
}

func TestReaderCutShort(t *testing.T) {
	for cut := range len(whole) {
		r := NewReader(strings.NewReader(whole[:cut]), Limits{})
		if _, err := readAll(r); !errors.Is(err, ErrTruncated) {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if _, err := r.Next(); !errors.Is(err, ErrTruncated) {
			t.Fatalf("cut at %d, asked again: %v", cut, err)
		}
	}
}

func TestReaderPassesItsReadersError(t *testing.T) {
	want := errors.New("port closed")
	_, err := readAll(NewReader(io.MultiReader(strings.NewReader(hello), iotest.ErrReader(want)), Limits{}))
	if !errors.Is(err, want) || errors.Is(err, ErrTruncated) {
		t.Errorf("error %v", err)
	}
}

func TestReaderLimits(t *testing.T) {
	second := strings.Replace(row, "syn.raw", "syn.x", 1)
	for says, c := range map[string]struct {
		limit Limits
		in    string
	}{
		"more than 1 rows":      {Limits{Rows: 1}, hello + begin + row + second},
		"more than 1 log lines": {Limits{Logs: 1}, hello + begin + klog + klog},
		"2 probes, more than 1": {Limits{Probes: 1}, hello},
		"2 modules, more than 1": {Limits{Modules: 1}, strings.Replace(hello, `"modules":[]`,
			`"modules":[{"name":"veth","state":"loaded"},{"name":"tun","state":"builtin"}]`, 1)},
		"more than 1 packets and steps": {Limits{Captured: 1}, hello + begin + pkt + step},
		"stream of more than 150 bytes": {Limits{Bytes: 150}, whole},
	} {
		_, err := readAll(NewReader(strings.NewReader(c.in), c.limit))
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("error %v, want %q", err, says)
		}
	}
}

// A probe's packets and steps have a bound of their own, and so have its links.
func TestReaderBoundsCapture(t *testing.T) {
	big := strings.Replace(step, "set a = 1", strings.Repeat("s", MaxValue), 1)
	fill := strings.Repeat(big, MaxCapture/MaxValue)
	if _, err := readAll(NewReader(strings.NewReader(hello+begin+fill+end), Limits{})); !errors.Is(err, ErrTruncated) {
		t.Errorf("as much as is allowed: %v", err)
	}
	_, err := readAll(NewReader(strings.NewReader(hello+begin+fill+step), Limits{}))
	if err == nil || !strings.Contains(err.Error(), "take more than") {
		t.Errorf("more than is allowed: %v", err)
	}
	second := strings.NewReplacer("a/b", "a/c").Replace(begin)
	if _, err := readAll(NewReader(strings.NewReader(hello+begin+fill+end+second+step), Limits{})); !errors.Is(err, ErrTruncated) {
		t.Errorf("the next probe: %v", err)
	}
	links := hello + begin
	for i := range MaxLinks + 1 {
		links += strings.Replace(pkt, "near", fmt.Sprint("l", i), 1)
	}
	if _, err = readAll(NewReader(strings.NewReader(links), Limits{})); err == nil || !strings.Contains(err.Error(), "links") {
		t.Errorf("many links: %v", err)
	}
}

func TestWriterRefusesAndGoesOn(t *testing.T) {
	var buf bytes.Buffer
	w := NewWriter(&buf)
	good := []Record{
		{Hello: &Hello{Protocol: Protocol, Modules: []Module{}, Probes: []string{"a/b"}}},
		{Begin: &Begin{Probe: "a/b"}},
		{End: &End{Probe: "a/b", Outcome: Recorded}},
		{Done: &Done{Probes: 1}},
	}
	for _, rec := range good {
		for _, bad := range []Record{
			{}, {Begin: &Begin{}, End: &End{}}, {Row: &Row{Name: "x/y/z.a", Kind: Flag}}, {Done: &Done{Probes: 9}},
		} {
			if err := w.Write(bad); err == nil {
				t.Errorf("wrote %+v", bad)
			}
		}
		if err := w.Write(rec); err != nil {
			t.Fatal(err)
		}
	}
	if recs, err := readAll(NewReader(&buf, Limits{})); err != io.EOF || !reflect.DeepEqual(recs, good) {
		t.Errorf("read back %+v, %v", recs, err)
	}
}

// What a Reader accepts, a Writer writes, and a Reader accepts again.
func FuzzReader(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte(hello + begin))
	f.Add([]byte(hello + `{"done":{"probes":0,"rows":0}}` + "\n"))
	f.Add([]byte(`{"row":` + strings.Repeat(`[`, 500)))
	f.Fuzz(func(t *testing.T, in []byte) {
		recs, err := readAll(NewReader(bytes.NewReader(in), Limits{}))
		var se *StreamError
		if err != io.EOF && !errors.As(err, &se) {
			t.Fatalf("error %v of type %T", err, err)
		}
		var buf bytes.Buffer
		w := NewWriter(&buf)
		for i, rec := range recs {
			if werr := w.Write(rec); werr != nil {
				t.Fatalf("record %d: %v", i, werr)
			}
		}
		again, _ := readAll(NewReader(&buf, Limits{}))
		if fmt.Sprintf("%+v", deref(again)) != fmt.Sprintf("%+v", deref(recs)) {
			t.Fatalf("read %+v, again %+v", deref(recs), deref(again))
		}
	})
}

func deref(recs []Record) []any {
	var out []any
	for _, r := range recs {
		for _, m := range []any{r.Hello, r.Begin, r.Row, r.Log, r.End, r.Done, r.Packet, r.Step} {
			if v := reflect.ValueOf(m); !v.IsNil() {
				out = append(out, v.Elem().Interface())
			}
		}
	}
	return out
}
