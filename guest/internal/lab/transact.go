package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/nfnl"
)

// transactor takes nftables' transactions to the kernel. The library has each rule
// told back and each message acknowledged, and looks at every answer before it reads
// it, which is most of what a transaction costs: this asks for one acknowledgement,
// that of the last message, and otherwise hears of what is refused.
type transactor struct {
	conn    *nfnl.Conn
	refused []netlink.Message // that the library has not read yet
}

// answer is what the library's connection sends to and, with nothing, receives from:
// it hands out each refusal, and no acknowledgements.
func (t *transactor) answer(messages []netlink.Message) ([]netlink.Message, error) {
	if len(messages) > 0 {
		if err := t.transact(messages); err != nil {
			return nil, err
		}
	}
	if len(t.refused) == 0 {
		return nil, io.EOF
	}
	first := t.refused[:1]
	t.refused = t.refused[1:]
	return first, nil
}

// transact sends a transaction, between its two marks, and keeps what is refused.
func (t *transactor) transact(messages []netlink.Message) error {
	t.refused = nil
	var batch []byte
	for i, m := range messages {
		m.Header.Flags &^= netlink.Acknowledge | unix.NLM_F_ECHO
		if i == len(messages)-2 {
			m.Header.Flags |= netlink.Acknowledge
		}
		b, err := m.MarshalBinary()
		if err != nil {
			return fmt.Errorf("encode transaction: %w", err)
		}
		batch = append(batch, b...)
	}
	if err := t.conn.Send(batch); err != nil {
		return fmt.Errorf("send transaction: %w", err)
	}
	none := func(nfnl.Message) error { return nil }
	for err := t.conn.Answers(none); err != nil; _, err = t.conn.Arrived(none) {
		var errno unix.Errno
		if !errors.As(err, &errno) {
			return err
		}
		t.refuse(errno)
	}
	return nil
}

// refuse keeps a refusal as the kernel tells it.
func (t *transactor) refuse(errno unix.Errno) {
	t.refused = append(t.refused, netlink.Message{
		Header: netlink.Header{Type: netlink.Error},
		Data:   binary.NativeEndian.AppendUint32(nil, uint32(-int32(errno))),
	})
}
