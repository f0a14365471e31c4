package lab

import (
	"encoding/binary"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/nfnl"
)

// Expression is an expression of nf_tables as it goes over netlink: its name, and
// its attributes in their order, numbers in them big-endian. There are some that
// no library would send.
type Expression struct {
	Name  string
	Attrs []netlink.Attribute
}

// Attr32 makes an attribute of an expression that is a number of 32 bits.
func Attr32(kind uint16, v uint32) netlink.Attribute {
	return netlink.Attribute{Type: kind, Data: binary.BigEndian.AppendUint32(nil, v)}
}

// Try loads a rule of raw expressions into a chain that is there already, and
// returns what the kernel says: nil, or its errno, wrapped.
func (s *Ruleset) Try(c Chain, expressions ...Expression) error {
	rule, err := ruleAttrs(c, expressions)
	if err != nil {
		return fmt.Errorf("encode rule: %w", err)
	}
	return s.try(c, unix.NFT_MSG_NEWRULE, unix.NLM_F_APPEND, rule)
}

// TryObject makes, or changes, an object in the table of a chain, and returns
// what the kernel says.
func (s *Ruleset) TryObject(c Chain, name string, kind ObjectKind, data ...netlink.Attribute) error {
	inner, err := netlink.MarshalAttributes(data)
	if err != nil {
		return fmt.Errorf("encode object: %w", err)
	}
	object, err := netlink.MarshalAttributes([]netlink.Attribute{
		{Type: unix.NFTA_OBJ_TABLE, Data: append([]byte(c.table), 0)},
		{Type: unix.NFTA_OBJ_NAME, Data: append([]byte(name), 0)},
		Attr32(unix.NFTA_OBJ_TYPE, uint32(kind)),
		{Type: unix.NLA_F_NESTED | unix.NFTA_OBJ_DATA, Data: inner},
	})
	if err != nil {
		return fmt.Errorf("encode object: %w", err)
	}
	return s.try(c, unix.NFT_MSG_NEWOBJ, 0, object)
}

// try sends a transaction of one message.
func (s *Ruleset) try(c Chain, kind, flags uint16, body []byte) error {
	s.table(c.table, c.family) // which Clear removes
	if err := s.conn.Flush(); err != nil {
		return fmt.Errorf("make table %s: %w", c.table, err)
	}
	conn, err := nfnl.Dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	const tables = unix.NFNL_SUBSYS_NFTABLES
	asked := nfnl.Header{Kind: tables<<8 | kind, Flags: unix.NLM_F_ACK | unix.NLM_F_CREATE | flags, Family: byte(c.family)}
	batch := nfnl.Request(nfnl.Header{Kind: unix.NFNL_MSG_BATCH_BEGIN, Resource: tables}, nil)
	batch = append(batch, nfnl.Request(asked, body)...)
	batch = append(batch, nfnl.Request(nfnl.Header{Kind: unix.NFNL_MSG_BATCH_END, Resource: tables}, nil)...)
	if err := conn.Send(batch); err != nil {
		return fmt.Errorf("send transaction: %w", err)
	}
	return conn.Answers(func(nfnl.Message) error { return nil })
}

func ruleAttrs(c Chain, expressions []Expression) ([]byte, error) {
	const nested = unix.NLA_F_NESTED
	var list []netlink.Attribute
	for _, e := range expressions {
		data, err := netlink.MarshalAttributes(e.Attrs)
		if err != nil {
			return nil, err
		}
		one, err := netlink.MarshalAttributes([]netlink.Attribute{
			{Type: unix.NFTA_EXPR_NAME, Data: append([]byte(e.Name), 0)},
			{Type: nested | unix.NFTA_EXPR_DATA, Data: data},
		})
		if err != nil {
			return nil, err
		}
		list = append(list, netlink.Attribute{Type: nested | unix.NFTA_LIST_ELEM, Data: one})
	}
	all, err := netlink.MarshalAttributes(list)
	if err != nil {
		return nil, err
	}
	return netlink.MarshalAttributes([]netlink.Attribute{
		{Type: unix.NFTA_RULE_TABLE, Data: append([]byte(c.table), 0)},
		{Type: unix.NFTA_RULE_CHAIN, Data: append([]byte(c.name), 0)},
		{Type: nested | unix.NFTA_RULE_EXPRESSIONS, Data: all},
	})
}
