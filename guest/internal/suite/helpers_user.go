package suite

import (
	"fmt"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/ct"
	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

// helpersUser ask of helpers that a program registers, which gets the packets by a
// queue.
var helpersUser = []probe.Probe{
	forgetting(overNetlink("helpers", "Which helpers of user space does the kernel keep, how does it tell of them, and which changes does it take?", "nfnl_cthelper_new and nfnl_cthelper_update in nfnetlink_cthelper.c", netlinkHelpers, helperModule)),
	forgetting(helped("user-space", "ftp", "Where does a packet go whose connection has a helper of user space: one that is enabled, and one that is not?", "nfnl_userspace_cthelper in nfnetlink_cthelper.c", func(p *probe.P) {
		r := dial(p)
		p.Cleanup(func() error { return forgetHelpers(r) })
		p.Must(addHelper(r, "ours", helperStatus(true)))
		assign(p, "ours", "udp", unix.IPPROTO_UDP, 5000)
		from, to := between(versions[0], 5000)
		heard(p, "nobody", p.Forth(wire.UDP(from, to, "x")))
		w := listenQueue(p, 10, lab.QueueConntrack)
		p.Flush()
		h := w.hold(wire.UDP(from, to, "x"))
		p.Text("waits", "class", h.CTInfo)
		p.Fate("waits", w.accept(h))
		p.Entry("waits", p.Entries())
		p.Must(addHelper(r, "ours", helperStatus(false)))
		heard(p, "disabled", p.Forth(wire.UDP(from, to, "x")))
		p.Errno("in-use", forgetHelpers(r))
		// A rule's object lets go of its helper when no CPU looks at it any more
		// (nf_tables_trans_destroy_work).
		p.ClearRules()
		p.Flush()
		p.Wait(time.Second)
	}, helperModule, queueListener)),
}

const helperModule = "nfnetlink_cthelper"

// forgetting is a probe that takes helpers back. Kernels whose extensions of
// entries have a generation let none of before be found after that, of templates
// neither (nf_ct_ext_bump_genid in nf_conntrack_extend.c): the SYN proxy passes
// connections on from then until its module is loaded anew.
func forgetting(p probe.Probe) probe.Probe {
	p.Renews = []string{proxyModule}
	return p
}

// The attributes of enum nfnl_cthelper_type in nfnetlink_cthelper.h, and what is
// inside of them.
const (
	helperName     = 1
	helperTuple    = 2
	helperQueue    = 3
	helperPolicies = 4
	helperPrivate  = 5
	helperState    = 6
)

func helperTupleOf(l3 uint16, l4 uint8) netlink.Attribute {
	return of(helperTuple, num16(1, l3), num8(2, l4))
}

// helperPolicyOf are policies for as many classes of expectations.
func helperPolicyOf(classes uint32, most, seconds uint32) netlink.Attribute {
	sets := []netlink.Attribute{num32(1, classes)}
	for i := range min(classes, 4) {
		sets = append(sets, of(uint16(2+i), text(1, fmt.Sprintf("class-%d", i)), num32(2, most), num32(3, seconds)))
	}
	return of(helperPolicies, sets...)
}

func helperStatus(enabled bool) netlink.Attribute {
	if enabled {
		return num32(helperState, 1)
	}
	return num32(helperState, 0)
}

// addHelper registers a helper of user space for UDP over IPv4, or changes it.
func addHelper(r *ct.Raw, name string, more ...netlink.Attribute) error {
	attrs := []netlink.Attribute{
		text(helperName, name), helperTupleOf(unix.AF_INET, unix.IPPROTO_UDP), num32(helperQueue, queueNumber),
		helperPolicyOf(1, 4, 30), num32(helperPrivate, 8),
	}
	_, err := r.Ask(ct.HelperNew, unix.NLM_F_CREATE, unix.AF_INET, append(attrs, more...)...)
	return err
}

// forgetHelpers takes back those that no connection has.
func forgetHelpers(r *ct.Raw) error {
	_, err := r.Ask(ct.HelperDelete, 0, unix.AF_UNSPEC)
	return err
}

func netlinkHelpers(p *probe.P) {
	r := dial(p)
	p.Cleanup(func() error { return forgetHelpers(r) })
	name, tuple := text(helperName, "ours"), helperTupleOf(unix.AF_INET, unix.IPPROTO_UDP)
	policy, private := helperPolicyOf(1, 4, 30), num32(helperPrivate, 8)
	for _, c := range []request{
		{"right", []netlink.Attribute{name, tuple, policy, private}},
		{"enabled", []netlink.Attribute{name, tuple, policy, private, num32(helperQueue, 7), helperStatus(true)}},
		{"unknown-status", []netlink.Attribute{name, tuple, policy, private, num32(helperState, 7)}},
		{"no-name", []netlink.Attribute{tuple, policy, private}},
		{"empty-name", []netlink.Attribute{text(helperName, ""), tuple, policy, private}},
		{"long-name", []netlink.Attribute{text(helperName, "longer-than-fifteen"), tuple, policy, private}},
		{"kernel-name", []netlink.Attribute{text(helperName, "tftp"), tuple, policy, private}},
		{"no-tuple", []netlink.Attribute{name, policy, private}},
		{"no-protocol", []netlink.Attribute{name, of(helperTuple, num16(1, unix.AF_INET)), policy, private}},
		{"protocol-0", []netlink.Attribute{name, helperTupleOf(unix.AF_INET, 0), policy, private}},
		{"family-99", []netlink.Attribute{name, helperTupleOf(99, unix.IPPROTO_UDP), policy, private}},
		{"no-policy", []netlink.Attribute{name, tuple, private}},
		{"no-class", []netlink.Attribute{name, tuple, helperPolicyOf(0, 4, 30), private}},
		{"four-classes", []netlink.Attribute{name, tuple, helperPolicyOf(4, 4, 30), private}},
		{"five-classes", []netlink.Attribute{name, tuple, helperPolicyOf(5, 4, 30), private}},
		{"class-missing", []netlink.Attribute{name, tuple, of(helperPolicies, num32(1, 1)), private}},
		{"class-unnamed", []netlink.Attribute{name, tuple, of(helperPolicies, num32(1, 1), of(2, num32(2, 1), num32(3, 1))), private}},
		{"most-0", []netlink.Attribute{name, tuple, helperPolicyOf(1, 0, 30), private}},
		{"most-255", []netlink.Attribute{name, tuple, helperPolicyOf(1, 255, 30), private}},
		{"most-256", []netlink.Attribute{name, tuple, helperPolicyOf(1, 256, 30), private}},
		{"timeout-0", []netlink.Attribute{name, tuple, helperPolicyOf(1, 4, 0), private}},
		{"no-private", []netlink.Attribute{name, tuple, policy}},
		{"private-32", []netlink.Attribute{name, tuple, policy, num32(helperPrivate, 32)}},
		{"private-33", []netlink.Attribute{name, tuple, policy, num32(helperPrivate, 33)}},
		{"queue-huge", []netlink.Attribute{name, tuple, policy, private, num32(helperQueue, 65536)}},
	} {
		p.Must(forgetHelpers(r))
		_, err := r.Ask(ct.HelperNew, unix.NLM_F_CREATE, unix.AF_INET, c.attrs...)
		p.Errno(c.name, err)
		answers, err := r.Ask(ct.HelperGet, unix.NLM_F_DUMP, unix.AF_INET)
		p.Must(err)
		p.Text(c.name, "told", namesOf(answers))
	}
	change := func(subject string, attrs ...netlink.Attribute) {
		p.Must(forgetHelpers(r))
		p.Must(addHelper(r, "ours"))
		_, err := r.Ask(ct.HelperNew, 0, unix.AF_INET, append([]netlink.Attribute{name, tuple}, attrs...)...)
		p.Errno(subject, err)
	}
	change("change-nothing")
	change("change-policy", helperPolicyOf(1, 9, 9))
	change("change-classes", helperPolicyOf(2, 9, 9))
	change("change-private", num32(helperPrivate, 16))
	change("change-queue", num32(helperQueue, 9))
	p.Must(forgetHelpers(r))
	p.Must(addHelper(r, "ours"))
	_, err := r.Ask(ct.HelperNew, unix.NLM_F_CREATE|unix.NLM_F_EXCL, unix.AF_INET, name, tuple, policy, private)
	p.Errno("again-exclusive", err)
	_, err = r.Ask(ct.HelperGet, 0, unix.AF_INET, text(helperName, "other"))
	p.Errno("get-other", err)
	_, err = r.Ask(ct.HelperDelete, 0, unix.AF_INET, text(helperName, "other"))
	p.Errno("delete-other", err)
}

// namesOf are the names of a list's attributes, helper by helper.
func namesOf(all []ct.Message) string {
	var texts []string
	for _, m := range all {
		texts = append(texts, m.Names())
	}
	return listOr("none", texts)
}
