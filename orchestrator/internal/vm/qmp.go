package vm

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// qmp speaks QEMU's machine protocol: a JSON object a line, one answer for each
// command, events in between. It may be used concurrently.
type qmp struct {
	mu    sync.Mutex
	conn  net.Conn
	lines *bufio.Reader
	ready bool // greeting and capabilities are exchanged
	// shutdown is why the machine ended, in QEMU's words ("guest-reset"); "" as
	// long as nobody has read that.
	shutdown string
}

func newQMP(conn net.Conn) *qmp {
	return &qmp{conn: conn, lines: bufio.NewReaderSize(conn, qmpLine)}
}

// qmpLine bounds an answer. The longest that is asked for has a hundred bytes;
// the greeting has about two hundred.
const qmpLine = 64 << 10

// QMPError is QEMU's refusal of a command.
type QMPError struct {
	Class string `json:"class"`
	Desc  string `json:"desc"`
}

func (e *QMPError) Error() string { return fmt.Sprintf("QEMU refuses (%s): %s", e.Class, e.Desc) }

// qmpMessage is any of what QEMU sends: a greeting, an event, an answer.
type qmpMessage struct {
	QMP   json.RawMessage `json:"QMP"`
	Event string          `json:"event"`
	Data  struct {
		Reason string `json:"reason"`
	} `json:"data"`
	Return json.RawMessage `json:"return"`
	Error  *QMPError       `json:"error"`
}

// run sends a command, with arguments unless they are nil, and decodes what it
// returns into result, unless that is nil, before ctx ends.
func (q *qmp) run(ctx context.Context, command string, args, result any) error {
	return q.exchange(ctx, command, nil, args, result)
}

// give hands QEMU a copy of a file, under a name that later commands call it by.
func (q *qmp) give(ctx context.Context, name string, f *os.File) error {
	return q.exchange(ctx, "getfd", f, map[string]any{"fdname": name}, nil)
}

func (q *qmp) exchange(ctx context.Context, command string, f *os.File, args, result any) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	defer until(ctx, q.conn)()
	return causeOf(ctx, q.greeted(command, f, args, result))
}

// greeted sends a command, when QEMU has greeted.
func (q *qmp) greeted(command string, f *os.File, args, result any) error {
	if !q.ready {
		m, err := q.next()
		if err != nil {
			return fmt.Errorf("read QEMU's greeting: %w", err)
		}
		if m.QMP == nil {
			return fmt.Errorf("read QEMU's greeting: %w", errNotQMP)
		}
		if err := q.exec("qmp_capabilities", nil, nil, nil); err != nil {
			return err
		}
		q.ready = true
	}
	return q.exec(command, f, args, result)
}

func (q *qmp) exec(command string, f *os.File, args, result any) error {
	b, err := json.Marshal(struct {
		Execute   string `json:"execute"`
		Arguments any    `json:"arguments,omitempty"`
	}{command, args})
	if err != nil {
		return fmt.Errorf("encode %s: %w", command, err)
	}
	if err := q.send(append(b, '\n'), f); err != nil {
		return fmt.Errorf("send %s to QEMU: %w", command, err)
	}
	for {
		m, err := q.next()
		switch {
		case err != nil:
			return fmt.Errorf("read QEMU's answer to %s: %w", command, err)
		case m.Error != nil:
			return fmt.Errorf("%s: %w", command, m.Error)
		case m.Event != "":
			q.event(m)
			continue
		case m.Return == nil:
			return fmt.Errorf("read QEMU's answer to %s: %w", command, errNotQMP)
		case result == nil:
			return nil
		}
		if err := json.Unmarshal(m.Return, result); err != nil {
			return fmt.Errorf("read QEMU's answer to %s: %w", command, err)
		}
		return nil
	}
}

// send sends a line, and a copy of f with it unless that is nil.
func (q *qmp) send(line []byte, f *os.File) error {
	if f == nil {
		_, err := q.conn.Write(line)
		return err
	}
	conn, ok := q.conn.(*net.UnixConn)
	if !ok {
		return fmt.Errorf("no file can be sent over %T", q.conn)
	}
	// A write this short is whole, or an error.
	_, _, err := conn.WriteMsgUnix(line, unix.UnixRights(int(f.Fd())), nil)
	return err
}

var errNotQMP = errors.New("not QEMU's machine protocol")

func (q *qmp) next() (qmpMessage, error) {
	line, err := q.lines.ReadSlice('\n') // an overlong line is an error
	if err != nil {
		return qmpMessage{}, err
	}
	var m qmpMessage
	if err := json.Unmarshal(bytes.TrimSpace(line), &m); err != nil {
		return qmpMessage{}, fmt.Errorf("%w: %w", errNotQMP, err)
	}
	return m, nil
}

// event takes note of an event.
func (q *qmp) event(m qmpMessage) {
	if m.Event == "SHUTDOWN" {
		q.shutdown = m.Data.Reason
	}
}

// drainEvents reads what a QEMU that is gone has said last, and returns why its
// machine ended: "" where it did not say.
func (q *qmp) drainEvents() string {
	q.mu.Lock()
	defer q.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	defer until(ctx, q.conn)()
	for q.ready {
		m, err := q.next()
		if err != nil {
			break // the end, or nothing that can be read
		}
		q.event(m)
	}
	return q.shutdown
}

func (q *qmp) close() { q.conn.Close() } // nothing is buffered that could be lost
