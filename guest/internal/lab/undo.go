package lab

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ErrLasting says that a trace cannot be undone.
var ErrLasting = errors.New("cannot be undone")

// Undo undoes a trace as far as it can: whether it is gone, only a new state
// tells. Modules are not its concern.
func (w *Witness) Undo(t Trace) error {
	if err := w.undo(t); err != nil {
		return fmt.Errorf("undo %s: %w", t, err)
	}
	return nil
}

func (w *Witness) undo(t Trace) error {
	switch t.Kind {
	case KindFile:
		return undoFile(t)
	case KindLink, KindAddress, KindRoute, KindRule, KindNeighbour:
		return w.undoRoute(t)
	case KindNFTable:
		return undoTable(t)
	case KindHelper:
		return w.undoObject(t, helperDelete)
	case KindTimeoutPolicy:
		return w.undoObject(t, policyDelete)
	case KindEntries:
		return w.nf.request(ctDelete, unix.NLM_F_ACK, nil, nil)
	case KindExpectations:
		return w.nf.request(expDelete, unix.NLM_F_ACK, nil, nil)
	case KindSetting, KindParameter:
		return undoSetting(t)
	}
	// Sockets go with the files that hold them; the rest is nobody's to undo.
	return ErrLasting
}

// undoFile lets go of what a file left open holds. Its number stays taken:
// whoever forgot it may still close it.
func undoFile(t Trace) error {
	if t.Is == nil {
		return ErrLasting
	}
	fd, err := strconv.Atoi(t.Is.thing.(string))
	if err != nil {
		return err
	}
	null, err := unix.Open(nowhere, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return errors.Join(unix.Dup3(null, fd, unix.O_CLOEXEC), unix.Close(null))
}

func (w *Witness) undoRoute(t Trace) error {
	var errs []error
	if t.Is != nil {
		switch is := t.Is.thing.(type) {
		case netlink.Link:
			if t.Was != nil {
				return w.undoLink(t.Was.thing.(netlink.Link))
			}
			return w.route.LinkDel(is)
		case netlink.Addr:
			errs = append(errs, w.route.AddrDel(linkOf(is.LinkIndex), &is))
		case netlink.Route:
			errs = append(errs, w.route.RouteDel(&is))
		case netlink.Rule:
			errs = append(errs, w.route.RuleDel(&is))
		case netlink.Neigh:
			errs = append(errs, w.route.NeighDel(&is))
		}
	}
	if t.Was != nil {
		switch was := t.Was.thing.(type) {
		case netlink.Link:
			errs = append(errs, ErrLasting)
		case netlink.Addr:
			errs = append(errs, w.route.AddrAdd(linkOf(was.LinkIndex), &was))
		case netlink.Route:
			errs = append(errs, w.route.RouteReplace(&was))
		case netlink.Rule:
			errs = append(errs, w.route.RuleAdd(&was))
		case netlink.Neigh:
			errs = append(errs, w.route.NeighSet(&was))
		}
	}
	return errors.Join(errs...)
}

// linkOf names a link by its index alone.
func linkOf(index int) netlink.Link {
	return &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: index}}
}

// undoLink gives a link back what it had.
func (w *Witness) undoLink(was netlink.Link) error {
	a := was.Attrs()
	errs := []error{w.route.LinkSetMTU(was, a.MTU), w.route.LinkSetTxQLen(was, a.TxQLen)}
	if a.Flags&unix.IFF_UP != 0 {
		errs = append(errs, w.route.LinkSetUp(was))
	} else {
		errs = append(errs, w.route.LinkSetDown(was))
	}
	return errors.Join(errs...)
}

func undoTable(t Trace) error {
	if t.Is == nil {
		return ErrLasting
	}
	return inInitial(func() error {
		conn, err := nftables.New()
		if err != nil {
			return err
		}
		_, name, _ := strings.Cut(t.Is.Name, " ")
		conn.DelTable(&nftables.Table{Name: name, Family: nftables.TableFamily(t.Is.thing.(byte))})
		return conn.Flush()
	})
}

// undoObject deletes a ct helper or timeout policy by its name.
func (w *Witness) undoObject(t Trace, message uint16) error {
	if t.Is == nil {
		return ErrLasting
	}
	return w.nf.request(message, unix.NLM_F_ACK, stringAttr(1, t.Is.Name), nil)
}

func undoSetting(t Trace) error {
	if t.Is == nil || t.Was == nil {
		return ErrLasting // its module came or went
	}
	return inInitial(func() error {
		return os.WriteFile(t.Was.thing.(string), []byte(t.Was.Value), 0)
	})
}

// inInitial runs f on a thread that never left the initial namespace.
func inInitial(f func() error) (err error) {
	initial.do(func() { err = f() })
	return err
}
