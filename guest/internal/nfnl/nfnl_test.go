package nfnl

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

func attributes(t *testing.T, attrs ...netlink.Attribute) []byte {
	t.Helper()
	b, err := netlink.MarshalAttributes(attrs)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// errorMessage is a kernel's answer to a request, with an errno.
func errorMessage(errno unix.Errno) []byte {
	b := make([]byte, unix.SizeofNlMsghdr+4)
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	binary.NativeEndian.PutUint16(b[4:], unix.NLMSG_ERROR)
	binary.NativeEndian.PutUint32(b[unix.SizeofNlMsghdr:], uint32(-int32(errno)))
	return b
}

func TestMessages(t *testing.T) {
	attrs := attributes(t, netlink.Attribute{Type: 1, Data: []byte("abc")}, netlink.Attribute{Type: 2 | unix.NLA_F_NESTED, Data: []byte{1}})
	first := Request(Header{Kind: 1 << 8, Flags: unix.NLM_F_ACK, Family: unix.AF_INET6, Version: 1, Resource: 7}, attrs)
	second := Request(Header{Kind: 2 << 8}, nil)
	for name, c := range map[string]struct {
		datagram []byte
		count    int
		done     bool
		errno    error
	}{
		"none":         {nil, 0, false, nil},
		"two":          {append(append([]byte{}, first...), second...), 2, false, nil},
		"acknowledged": {append(append([]byte{}, first...), errorMessage(0)...), 1, true, nil},
		"refused":      {append(errorMessage(unix.EPERM), first...), 0, true, unix.EPERM},
		"end of list":  {append(append([]byte{}, second...), Request(Header{Kind: unix.NLMSG_DONE}, nil)...), 1, true, nil},
	} {
		var got []Message
		done, err := Messages(c.datagram, func(m Message) error { got = append(got, m); return nil })
		if len(got) != c.count || done != c.done || !errors.Is(err, c.errno) {
			t.Errorf("%s: %d messages, done %v, error %v", name, len(got), done, err)
		}
	}
	if _, err := Messages(first[:len(first)-1], func(Message) error { return nil }); err == nil {
		t.Error("a message that is cut off is no error")
	}
	var m Message
	if _, err := Messages(first, func(got Message) error { m = got; return nil }); err != nil {
		t.Fatal(err)
	}
	want := Message{Kind: 1 << 8, Flags: unix.NLM_F_REQUEST | unix.NLM_F_ACK, Family: unix.AF_INET6, Attrs: attrs}
	if diff := cmp.Diff(want, m); diff != "" {
		t.Errorf("message (-want +got):\n%s", diff)
	}
	stopped := errors.New("stopped")
	if done, err := Messages(append(first, second...), func(Message) error { return stopped }); !done || !errors.Is(err, stopped) {
		t.Errorf("done %v, error %v: want the caller's", done, err)
	}
}

func TestAttr(t *testing.T) {
	b := attributes(t, netlink.Attribute{Type: 1, Data: []byte("abc")}, netlink.Attribute{Type: 2 | unix.NLA_F_NESTED, Data: []byte("stray")}, netlink.Attribute{Type: 1, Data: []byte("again")})
	for number, want := range map[uint16]string{1: "abc", 2: "stray", 3: ""} {
		if got := string(Attr(b, number)); got != want {
			t.Errorf("attribute %d is %q, want %q", number, got, want)
		}
	}
	if got := Attr([]byte{200, 0, 1, 0, 'x'}, 1); got != nil {
		t.Errorf("an attribute longer than its message: %q", got)
	}
	if Attributes([]byte{200, 0, 1, 0, 'x'}, func(uint16, []byte) {}) {
		t.Error("damaged attributes are whole")
	}
}

func FuzzMessages(f *testing.F) {
	f.Add(Request(Header{Kind: 10 << 8}, []byte{8, 0, 1, 0, 'r', 'a', 'w', 0}))
	f.Add(errorMessage(unix.EPERM))
	f.Add(errorMessage(0)[:17])
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = Messages(b, func(m Message) error {
			n := 0
			Attributes(m.Attrs, func(_ uint16, payload []byte) { n += len(payload) })
			if n > len(b) {
				t.Errorf("attributes hold %d bytes of a datagram of %d", n, len(b))
			}
			return nil
		})
	})
}

// linkRequest asks rtnetlink, which any process may, for the list of links.
func linkRequest(kind uint16) []byte {
	return Request(Header{Kind: kind, Flags: unix.NLM_F_DUMP}, make([]byte, unix.SizeofIfInfomsg-4))
}

func dialRoute(t *testing.T) *Conn {
	t.Helper()
	conn, err := DialProtocol(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestList(t *testing.T) {
	conn := dialRoute(t).Short()
	for range 2 { // nothing of the first is left to read
		got, err := conn.List(linkRequest(unix.RTM_GETLINK), []byte("before"))
		if err != nil || string(got[:6]) != "before" {
			t.Fatalf("%q, %v", got[:6], err)
		}
		links := 0
		done, err := Messages(got[6:], func(m Message) error {
			if m.Kind == unix.RTM_NEWLINK {
				links++
			}
			return nil
		})
		if !done || err != nil || links == 0 {
			t.Errorf("%d links, done %v, error %v", links, done, err)
		}
	}
	other := linkRequest(unix.RTM_GETADDR)
	other[8] = 7
	if err := conn.Send(other); err != nil {
		t.Fatal(err)
	}
	if got, err := conn.List(linkRequest(unix.RTM_GETLINK), nil); err == nil {
		t.Errorf("%d bytes that answer another request", len(got))
	}
	conn = dialRoute(t)
	if _, err := conn.List(linkRequest(unix.RTM_GETLINK+1000), nil); !errors.Is(err, unix.EOPNOTSUPP) {
		t.Errorf("a request that there is none of: %v", err)
	}
}

// Requests sent at once are answered one by one, whether the kernel grants them or not.
func TestAnswer(t *testing.T) {
	conn := dialRoute(t)
	ask := func(link uint32) []byte {
		info := make([]byte, unix.SizeofIfInfomsg-4)
		binary.NativeEndian.PutUint32(info, link)
		return Request(Header{Kind: unix.RTM_GETLINK}, info)
	}
	const loopback, none = 1, 1 << 30
	if err := conn.Send(append(append(ask(loopback), ask(none)...), ask(loopback)...)); err != nil {
		t.Fatal(err)
	}
	links := 0
	for i, want := range []error{nil, unix.ENODEV, nil} {
		err := conn.Answer(func(m Message) error { links++; return nil })
		if refusal := (Refusal{}); !errors.Is(err, want) || errors.As(err, &refusal) != (want != nil) {
			t.Errorf("answer %d: %v, want %v", i, err, want)
		}
	}
	if links != 2 {
		t.Errorf("%d links, want 2", links)
	}
}

// What is cut off is no answer.
func TestTooLong(t *testing.T) {
	conn := dialRoute(t)
	conn.most = unix.SizeofNlMsghdr
	if got, err := conn.List(linkRequest(unix.RTM_GETLINK), nil); err == nil {
		t.Errorf("%d bytes, of which none can be whole", len(got))
	}
	if err := conn.Send(linkRequest(unix.RTM_GETLINK)); err != nil {
		t.Fatal(err)
	}
	if err := conn.Answers(func(Message) error { return nil }); err == nil {
		t.Error("no error")
	}
}
