package vm

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

const greeting = `{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}}, "capabilities": ["oob"]}}` + "\r\n"

// peer plays QEMU: it sends the greeting, then for each command the next of the
// answers. It returns what it was sent.
func peer(t *testing.T, conn net.Conn, greeting string, answers ...string) <-chan []string {
	t.Helper()
	done := make(chan []string, 1)
	go func() {
		var got []string
		defer func() { conn.Close(); done <- got }()
		if _, err := io.WriteString(conn, greeting); err != nil {
			return
		}
		lines := bufio.NewScanner(conn)
		for _, a := range answers {
			if !lines.Scan() {
				return
			}
			got = append(got, lines.Text())
			if _, err := io.WriteString(conn, a); err != nil {
				return
			}
		}
	}()
	return done
}

func TestQMP(t *testing.T) {
	const ok = `{"return": {}}` + "\r\n"
	var refused *QMPError
	for _, test := range []struct {
		name     string
		greeting string
		answers  []string
		status   string
		fails    func(error) bool
	}{
		{"answers", greeting, []string{ok, `{"return": {"status": "running", "running": true}}` + "\r\n"}, "running", nil},
		{"events between", greeting, []string{
			`{"timestamp": {"seconds": 1}, "event": "RESUME"}` + "\r\n" + ok,
			`{"event": "STOP", "data": {}}` + "\n" + `{"return": {"status": "paused"}}` + "\n",
		}, "paused", nil},
		{"refuses", greeting, []string{ok, `{"error": {"class": "GenericError", "desc": "no"}}` + "\r\n"}, "", func(err error) bool {
			return errors.As(err, &refused) && refused.Class == "GenericError" && refused.Desc == "no"
		}},
		{"is no QEMU", "SSH-2.0-x\r\n", nil, "", func(err error) bool { return errors.Is(err, errNotQMP) }},
		{"does not greet", ok, nil, "", func(err error) bool { return errors.Is(err, errNotQMP) }},
		{"says nothing", "", nil, "", func(err error) bool { return errors.Is(err, io.EOF) }},
		{"ends early", greeting, []string{ok, ""}, "", func(err error) bool { return errors.Is(err, io.EOF) }},
		{"returns something else", greeting, []string{ok, `{"return": []}` + "\n"}, "", func(err error) bool { return err != nil }},
		{"has no end", strings.Repeat(" ", qmpLine+1), nil, "", func(err error) bool { return errors.Is(err, bufio.ErrBufferFull) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			ours, theirs := net.Pipe()
			got := peer(t, theirs, test.greeting, test.answers...)
			q := newQMP(ours)
			var s struct{ Status string }
			ctx, cancel := context.WithTimeout(t.Context(), testLimit)
			defer cancel()
			err := q.run(ctx, "query-status", nil, &s)
			q.close()
			sent := <-got
			if (err != nil) != (test.fails != nil) || err != nil && !test.fails(err) || s.Status != test.status {
				t.Fatalf("status %q, %v", s.Status, err)
			}
			want := []string{`{"execute":"qmp_capabilities"}`, `{"execute":"query-status"}`}
			if err == nil && strings.Join(sent, "\n") != strings.Join(want, "\n") {
				t.Errorf("sent %q, want %q", sent, want)
			}
		})
	}
}

func TestQMPDeadline(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	q := newQMP(ours)
	defer q.close()
	ctx, cancel := within(t.Context(), short, testLimit, func() time.Duration { return 0 })
	defer cancel()
	var late *LateError
	if err := q.run(ctx, "quit", nil, nil); !errors.As(err, &late) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want that it was late", err)
	}
	// What comes after that does not find the deadline of before.
	later, cancelLater := context.WithCancel(t.Context())
	time.AfterFunc(short, cancelLater)
	began := time.Now()
	if err := q.run(later, "quit", nil, nil); !errors.Is(err, context.Canceled) || time.Since(began) < short {
		t.Errorf("%v after %v, want that it was canceled after %v", err, time.Since(began), short)
	}
}

// Why the machine ended is in an event that comes when nobody asks any more.
func TestQMPShutdown(t *testing.T) {
	const ok = `{"return": {}}` + "\r\n"
	ours, theirs := net.Pipe()
	got := peer(t, theirs, greeting, ok, ok+`{"event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-reset"}}`+"\r\n")
	q := newQMP(ours)
	if err := q.run(t.Context(), "query-status", nil, nil); err != nil {
		t.Fatal(err)
	}
	if reason := q.drainEvents(); reason != "guest-reset" {
		t.Errorf("ended by %q", reason)
	}
	<-got
}

func FuzzQMP(f *testing.F) {
	f.Add(greeting + `{"return": {}}` + "\n" + `{"return": {"status": "running"}}` + "\n")
	f.Add(greeting + `{"event": "STOP"}` + "\n" + `{"error": {"class": "x", "desc": "y"}}` + "\n")
	f.Add("{}\n[]\nnull\n")
	f.Add(`{"QMP":{}}` + "\n" + `{"rEturn":{}}` + "\n" + `{"return":{}}` + "\n") // JSON's names are read in any case
	f.Fuzz(func(t *testing.T, said string) {
		q := newQMP(fixed{r: strings.NewReader(said)})
		var s struct{ Status string }
		err := q.run(context.Background(), "query-status", nil, &s)
		// A greeting and two answers are three lines, whatever they look like.
		if err == nil && strings.Count(said, "\n") < 3 {
			t.Fatalf("%q is taken for an answer: %q", said, s.Status)
		}
	})
}

// fixed is a peer that has said all it will say.
type fixed struct {
	net.Conn
	r io.Reader
}

func (f fixed) Read(p []byte) (int, error)  { return f.r.Read(p) }
func (f fixed) Write(p []byte) (int, error) { return len(p), nil }
func (f fixed) SetDeadline(time.Time) error { return nil }
