package observe

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// ErrTruncated is the end of a stream that has not said it is done: the guest
// died, or the channel was cut.
var ErrTruncated = errors.New("record stream ends before done")

// StreamError is what is wrong with a record stream, and where. Err is
// ErrTruncated, the error of the underlying reader, or says which rule the
// line breaks.
type StreamError struct {
	Line int // first line is 1
	Err  error
}

func (e *StreamError) Error() string { return fmt.Sprintf("record stream line %d: %v", e.Line, e.Err) }

// Unwrap returns the cause.
func (e *StreamError) Unwrap() error { return e.Err }

// Limits bound what a stream may make its reader hold. A zero field means the
// one of DefaultLimits.
type Limits struct {
	Bytes   int // bytes in the stream
	Line    int // bytes in a line, without its end
	Modules int // modules in hello
	Probes  int // probes in hello
	Rows    int // rows in the stream
	Logs    int // log lines in the stream

	Captured int // packets and steps in the stream
}

// DefaultLimits leave ample room for any suite, and keep what a hostile guest
// can make the host hold to tens of megabytes.
func DefaultLimits() Limits {
	return Limits{
		Bytes: 64 << 20, Line: 1 << 20,
		Modules: 1000, Probes: 5000, Rows: 200000, Logs: 100000, Captured: 500000,
	}
}

func (l Limits) orDefault() Limits {
	d := DefaultLimits()
	for _, f := range []struct{ have, want *int }{
		{&l.Bytes, &d.Bytes}, {&l.Line, &d.Line}, {&l.Modules, &d.Modules}, {&l.Probes, &d.Probes},
		{&l.Rows, &d.Rows}, {&l.Logs, &d.Logs}, {&l.Captured, &d.Captured},
	} {
		if *f.have == 0 {
			*f.have = *f.want
		}
	}
	return l
}

// Reader reads a record stream and trusts nothing in it. It is not safe for
// concurrent use.
type Reader struct {
	r     *bufio.Reader
	limit Limits
	line  int
	bytes int
	buf   []byte
	state state
	err   error
}

// NewReader returns a Reader of r within the limits.
func NewReader(r io.Reader, limits Limits) *Reader {
	limits = limits.orDefault()
	return &Reader{r: bufio.NewReader(r), limit: limits, state: state{limit: limits}}
}

// Next returns the next record, of which exactly one member is set. It returns
// io.EOF where the stream has ended as it should, and otherwise a *StreamError;
// after either it returns the same again.
func (r *Reader) Next() (Record, error) {
	if r.err != nil {
		return Record{}, r.err
	}
	rec, err := r.next()
	if err != nil {
		if err != io.EOF {
			err = &StreamError{Line: r.line, Err: err}
		}
		r.err = err
		return Record{}, err
	}
	return rec, nil
}

func (r *Reader) next() (Record, error) {
	r.line++
	line, err := r.readLine()
	switch {
	case errors.Is(err, io.EOF) && len(line) == 0 && r.state.done:
		return Record{}, io.EOF
	case errors.Is(err, io.EOF):
		return Record{}, ErrTruncated
	case err != nil:
		return Record{}, err
	}
	rec, err := parseRecord(line)
	if err != nil {
		return Record{}, err
	}
	return rec, r.state.accept(rec)
}

// readLine returns a line without its end. An error comes with what was read.
func (r *Reader) readLine() ([]byte, error) {
	r.buf = r.buf[:0]
	for {
		part, err := r.r.ReadSlice('\n')
		r.buf = append(r.buf, part...)
		if r.bytes += len(part); r.bytes > r.limit.Bytes {
			return nil, fmt.Errorf("stream of more than %d bytes", r.limit.Bytes)
		}
		if len(bytes.TrimSuffix(r.buf, []byte("\n"))) > r.limit.Line {
			return nil, fmt.Errorf("line of more than %d bytes", r.limit.Line)
		}
		if err == nil {
			return r.buf[:len(r.buf)-1], nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return r.buf, err
		}
	}
}

// parseRecord reads one object with one member. encoding/json alone would let
// pass repeated members and names in another case.
func parseRecord(line []byte) (Record, error) {
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if tok, err := dec.Token(); err != nil || tok != json.Delim('{') {
		return Record{}, errors.New("line is not a JSON object")
	}
	name, err := dec.Token()
	if err != nil || name == json.Delim('}') {
		return Record{}, errors.New("record without a member")
	}
	rec, value := newRecord(name)
	if value == nil {
		return Record{}, fmt.Errorf("unknown record %.40q", name)
	}
	var raw json.RawMessage
	if err := dec.Decode(&raw); err != nil {
		return Record{}, fmt.Errorf("parse %s: %w", name, err)
	}
	if err := decodeStrict(raw, value); err != nil {
		return Record{}, fmt.Errorf("parse %s: %w", name, err)
	}
	if tok, err := dec.Token(); err != nil || tok != json.Delim('}') {
		return Record{}, fmt.Errorf("record has more than the member %s", name)
	}
	if _, err := dec.Token(); err != io.EOF {
		return Record{}, errors.New("something follows the record on its line")
	}
	return rec, nil
}

// newRecord returns an empty record of the named type, and its member to fill.
func newRecord(name json.Token) (Record, any) {
	switch name {
	case "hello":
		r := Record{Hello: new(Hello)}
		return r, r.Hello
	case "begin":
		r := Record{Begin: new(Begin)}
		return r, r.Begin
	case "row":
		r := Record{Row: new(Row)}
		return r, r.Row
	case "log":
		r := Record{Log: new(Log)}
		return r, r.Log
	case "packet":
		r := Record{Packet: new(Packet)}
		return r, r.Packet
	case "step":
		r := Record{Step: new(Step)}
		return r, r.Step
	case "end":
		r := Record{End: new(End)}
		return r, r.End
	case "done":
		r := Record{Done: new(Done)}
		return r, r.Done
	}
	return Record{}, nil
}

func decodeStrict(raw []byte, into any) error {
	if len(raw) == 0 || raw[0] != '{' {
		return errors.New("not an object")
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	return dec.Decode(into)
}

// Writer writes a record stream. It holds what it writes to the rules that a
// Reader holds it to. It is not safe for concurrent use.
type Writer struct {
	w     io.Writer
	limit Limits
	state state
	line  bytes.Buffer // of a record
	enc   *json.Encoder
}

// NewWriter returns a Writer to w.
func NewWriter(w io.Writer) *Writer {
	limits := DefaultLimits()
	out := &Writer{w: w, limit: limits, state: state{limit: limits}}
	out.enc = json.NewEncoder(&out.line)
	out.enc.SetEscapeHTML(false)
	return out
}

// Write writes one record, in a single call of the underlying writer. A record
// that breaks a rule is refused: nothing of it is written, and the stream can
// go on with another.
func (w *Writer) Write(rec Record) error {
	w.line.Reset()
	if err := w.enc.Encode(&rec); err != nil {
		return fmt.Errorf("encode record: %w", err)
	}
	if size := w.line.Len() - 1; size > w.limit.Line {
		return fmt.Errorf("record of %d bytes, more than %d", size, w.limit.Line)
	}
	if err := w.state.accept(rec); err != nil {
		return err
	}
	if _, err := w.w.Write(w.line.Bytes()); err != nil {
		return fmt.Errorf("write record: %w", err)
	}
	return nil
}
