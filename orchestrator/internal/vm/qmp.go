package vm

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// qmp speaks QEMU's machine protocol: a JSON object a line, one answer for each
// command, events in between. It may be used concurrently.
type qmp struct {
	mu    sync.Mutex
	conn  net.Conn
	lines *bufio.Reader
	ready bool // greeting and capabilities are exchanged
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
	QMP    json.RawMessage `json:"QMP"`
	Event  string          `json:"event"`
	Return json.RawMessage `json:"return"`
	Error  *QMPError       `json:"error"`
}

// run sends a command and decodes what it returns into result, unless that is
// nil, by the deadline.
func (q *qmp) run(deadline time.Time, command string, result any) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.conn.SetDeadline(deadline); err != nil {
		return fmt.Errorf("speak with QEMU: %w", err)
	}
	if !q.ready {
		m, err := q.next()
		if err != nil {
			return fmt.Errorf("read QEMU's greeting: %w", err)
		}
		if m.QMP == nil {
			return fmt.Errorf("read QEMU's greeting: %w", errNotQMP)
		}
		if err := q.exec("qmp_capabilities", nil); err != nil {
			return err
		}
		q.ready = true
	}
	return q.exec(command, result)
}

func (q *qmp) exec(command string, result any) error {
	b, err := json.Marshal(map[string]string{"execute": command})
	if err != nil {
		return fmt.Errorf("encode %s: %w", command, err)
	}
	if _, err := q.conn.Write(append(b, '\n')); err != nil {
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

func (q *qmp) close() { q.conn.Close() } // nothing is buffered that could be lost
