package agent

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// A machine without the device has no channel: its memory is not looked at.
func TestNoChannel(t *testing.T) {
	devices := t.TempDir()
	for dev, ids := range map[string][2]string{
		"0000:00:01.0": {"0x1af4", "0x1003"},
		"0000:00:02.0": {"0x8086", observe.ChannelDevice},
	} {
		dir := filepath.Join(devices, dev)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for file, id := range map[string]string{"vendor": ids[0], "device": ids[1]} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(id+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, dir := range []string{devices, filepath.Join(devices, "none")} {
		if c, err := findChannel(dir); c != nil || err != nil {
			t.Errorf("found %v, %v", c, err)
		}
	}
}

// fakeBatch says what it was asked to run, and when.
type fakeBatch struct {
	prepared bool
	at       time.Duration
	err      error
}

func (b *fakeBatch) Prepare() error { b.prepared = true; return nil }

func (b *fakeBatch) Run(argv []string, out io.Writer) error {
	b.at = lab.Now()
	_, err := io.WriteString(out, strings.Join(argv, " "))
	return errors.Join(err, b.err)
}

// A job runs once, prepared, and not before the moment that was fixed.
func TestServeChannel(t *testing.T) {
	words := make([]uint64, observe.ChannelSize/8)
	host, err := observe.NewChannel(unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), observe.ChannelSize))
	if err != nil {
		t.Fatal(err)
	}
	if err := host.Put([]string{"run", "--probe", "a/*"}); err != nil {
		t.Fatal(err)
	}
	b := &fakeBatch{err: errors.New("no probe")}
	var console strings.Builder
	began := lab.Now()
	if err := serveChannel(host, &console, b, 100*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if ended, text := host.Ended(); !ended || text != "no probe" || !b.prepared {
		t.Errorf("prepared %v, ended %v: %q", b.prepared, ended, text)
	}
	if got := string(host.Output(0)); got != "run --probe a/*" {
		t.Errorf("ran %q", got)
	}
	if b.at < began+100*time.Millisecond {
		t.Errorf("the job began %v after the guest was ready", b.at-began)
	}
	if console.String() != observe.ReadyLine+"\n" {
		t.Errorf("console %q", console.String())
	}
}

// A guest whose host does not come does not wait for ever.
func TestServeChannelAlone(t *testing.T) {
	words := make([]uint64, observe.ChannelSize/8)
	c, err := observe.NewChannel(unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), observe.ChannelSize))
	if err != nil {
		t.Fatal(err)
	}
	if err := serveChannel(c, io.Discard, &fakeBatch{}, time.Millisecond); !errors.Is(err, errLate) {
		t.Errorf("%v, want %v", err, errLate)
	}
}
