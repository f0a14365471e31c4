package observe

import (
	"errors"
	"strings"
	"testing"
	"unsafe"
)

// memory is what both ends of a channel map, with the alignment of a page.
func memory() []byte {
	words := make([]uint64, ChannelSize/8)
	return unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), ChannelSize)
}

func ends(t *testing.T) (host, guest *Channel) {
	t.Helper()
	mem := memory()
	host, err := NewChannel(mem)
	if err != nil {
		t.Fatal(err)
	}
	if guest, err = FindChannel(mem); err != nil {
		t.Fatal(err)
	}
	return host, guest
}

func TestChannel(t *testing.T) {
	host, guest := ends(t)
	if host.Ready() || guest.HasJob() {
		t.Fatal("something is there before it was put")
	}
	guest.SayReady()
	if !host.Ready() {
		t.Error("the guest is ready and the host does not see it")
	}
	if err := host.Put([]string{"run", "--probe", "a/*"}); err != nil {
		t.Fatal(err)
	}
	argv, err := guest.Job()
	if err != nil || !guest.HasJob() || strings.Join(argv, " ") != "run --probe a/*" {
		t.Errorf("job %q, %v", argv, err)
	}
	for _, part := range []string{"one\n", "", "two\n"} {
		if n, err := guest.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatalf("wrote %d bytes of %d: %v", n, len(part), err)
		}
	}
	if got := string(host.Output(0)); got != "one\ntwo\n" {
		t.Errorf("output %q", got)
	}
	if got := string(host.Output(4)); got != "two\n" {
		t.Errorf("output after what was read: %q", got)
	}
	if got := host.Output(8); got != nil {
		t.Errorf("output after the end: %q", got)
	}
	if ended, _ := host.Ended(); ended {
		t.Error("ended before the guest said so")
	}
	guest.End(errors.New("no probe"))
	if ended, text := host.Ended(); !ended || text != "no probe" {
		t.Errorf("ended %v, %q", ended, text)
	}
}

func TestChannelEndsWithoutError(t *testing.T) {
	host, guest := ends(t)
	guest.End(nil)
	if ended, text := host.Ended(); !ended || text != "" {
		t.Errorf("ended %v, %q", ended, text)
	}
}

func TestChannelFull(t *testing.T) {
	host, guest := ends(t)
	big := make([]byte, ChannelSize-chanOut)
	if _, err := guest.Write(big[1:]); err != nil {
		t.Fatal(err)
	}
	if n, err := guest.Write([]byte("xy")); n != 0 || !errors.Is(err, ErrChannelFull) {
		t.Errorf("wrote %d bytes into what had one left: %v", n, err)
	}
	if got := len(host.Output(0)); got != len(big)-1 {
		t.Errorf("%d bytes of output", got)
	}
	if err := host.Put([]string{strings.Repeat("x", chanOut)}); err == nil {
		t.Error("a job was taken that does not fit")
	}
}

// What a guest may write into the memory must not take the host out of it.
func FuzzChannelHost(f *testing.F) {
	f.Add(uint32(guestEnded), uint32(1<<31), uint32(1<<31))
	f.Add(uint32(guestReady), uint32(ChannelSize), uint32(chanJob))
	mem := memory()
	f.Fuzz(func(t *testing.T, state, out, text uint32) {
		host, err := NewChannel(mem)
		if err != nil {
			t.Fatal(err)
		}
		host.word(chanGuest).Store(state)
		host.word(chanOutLen).Store(out)
		host.word(chanErrLen).Store(text)
		if n := len(host.Output(0)); n > ChannelSize {
			t.Errorf("%d bytes of output", n)
		}
		host.Output(ChannelSize)
		if _, text := host.Ended(); len(text) > chanJob {
			t.Errorf("an error of %d bytes", len(text))
		}
	})
}

func TestChannelRefuses(t *testing.T) {
	if _, err := NewChannel(make([]byte, 4096)); !errors.Is(err, ErrChannel) {
		t.Errorf("too little memory: %v", err)
	}
	if _, err := FindChannel(memory()); !errors.Is(err, ErrChannel) {
		t.Errorf("memory that nobody prepared: %v", err)
	}
	host, guest := ends(t)
	if err := host.Put([]string{"run"}); err != nil {
		t.Fatal(err)
	}
	host.mem[chanJob] ^= 1
	if _, err := guest.Job(); !errors.Is(err, ErrChannel) {
		t.Errorf("a damaged job: %v", err)
	}
	host.word(chanJobLen).Store(1 << 31)
	if _, err := guest.Job(); !errors.Is(err, ErrChannel) {
		t.Errorf("a job of impossible length: %v", err)
	}
}
