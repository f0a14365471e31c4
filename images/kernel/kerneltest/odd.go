package kerneltest

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// oddAnswer is how a mirror that is not as it should be answers for some files.
type oddAnswer struct {
	part   string // of their paths
	answer func(w http.ResponseWriter, r *http.Request, data []byte)
}

func (m *Mirror) answer(part string, answer func(http.ResponseWriter, *http.Request, []byte)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.odd = append(m.odd, oddAnswer{part, answer})
}

// oddly returns how a path is answered for, or nil; what was said last counts.
func (m *Mirror) oddly(path string) func(http.ResponseWriter, *http.Request, []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := len(m.odd) - 1; i >= 0; i-- {
		if strings.Contains(path, m.odd[i].part) {
			return m.odd[i].answer
		}
	}
	return nil
}

// CutOff makes the files whose paths contain part end in their middle, though
// their whole length was announced.
func (m *Mirror) CutOff(part string) {
	m.answer(part, func(w http.ResponseWriter, _ *http.Request, data []byte) {
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		_, _ = w.Write(data[:len(data)/2]) // the server ends the connection after that
	})
}

// Redirect makes requests for the files whose paths contain part be sent to
// another URL.
func (m *Mirror) Redirect(part, to string) {
	m.answer(part, func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusFound)
	})
}

// Drip makes the files whose paths contain part come a byte at a time, with a
// pause after each, for as long as the client stays.
func (m *Mirror) Drip(part string, pause time.Duration) {
	m.answer(part, func(w http.ResponseWriter, r *http.Request, data []byte) {
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		for i := range data {
			if _, err := w.Write(data[i : i+1]); err != nil {
				return
			}
			w.(http.Flusher).Flush() // a server's answer is one
			select {
			case <-time.After(pause):
			case <-r.Context().Done():
				return
			}
		}
	})
}

// Endless makes the files whose paths contain part never end.
func (m *Mirror) Endless(part string) {
	m.answer(part, func(w http.ResponseWriter, _ *http.Request, data []byte) {
		for err := error(nil); err == nil; {
			_, err = w.Write(data)
		}
	})
}

// Say makes requests for the files whose paths contain part be answered with
// some bytes in the place of HTTP.
func (m *Mirror) Say(part, text string) {
	m.answer(part, func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		conn, _, err := w.(http.Hijacker).Hijack() // a server's answer is one
		if err != nil {
			m.t.Error(err)
			return
		}
		_, _ = conn.Write([]byte(text)) // an error means that the client has left
		conn.Close()
	})
}
