package suite

import (
	"errors"
	"strconv"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
)

const limitsSource = "nf_conntrack_standalone_init_sysctl in nf_conntrack_standalone.c; Documentation/networking/nf_conntrack-sysctl.rst"

// No seed of the boot reaches these rows: settings are read, and where the table
// is full it is so of assured entries. The number of a namespace, by which the
// kernel's log calls it, is in no row.
var limits = []probe.Probe{
	{
		Name:     "limits/defaults",
		Question: "How many entries a bucket does the kernel allow by default, and what else does it do unasked: loose pickup, events, automatic helpers?",
		Source:   "nf_conntrack_init_start in nf_conntrack_core.c; nf_ct_events in nf_conntrack_standalone.c; Documentation/networking/nf_conntrack-sysctl.rst",
		Only:     probe.Initial,
		Run: func(p *probe.P) {
			// The sizes themselves follow from the memory that the kernel's own
			// image leaves free; their ratio does not.
			buckets, limit := number(p, bucketsSysctl), number(p, maxSysctl)
			p.Count("max", "per-bucket", limit/buckets)
			p.Text("loose", "value", read(p, looseSysctl))
			p.Text("events", "value", read(p, "net.netfilter.nf_conntrack_events"))
			_, err := lab.ReadSysctl("net.netfilter.nf_conntrack_helper")
			p.Errno("automatic-helpers", err)
		},
	},
	{
		Name:     "limits/namespace",
		Question: "Does a limit set in the initial namespace hold in a child, and is it one count for both or one each?",
		Source:   limitsSource,
		Only:     probe.Initial,
		Sysctls:  limit(7),
		Run: func(p *probe.P) {
			listen(p)
			fill(p, 7)
			p.InChild(func(c *probe.P) {
				c.Add(append(lab.Classing(lab.NearName), silence)...)
				c.Through(tenSYNs()...)
				c.Count("child", "entries", c.Held())
				c.Delta("child", "drop+early_drop", c.Stats().Drop+c.Stats().EarlyDrop)
				c.Text("child", "max", read(c, maxSysctl))
			})
			p.Count("initial", "entries", p.Held())
		},
	},
	{
		Name:     "limits/child-write",
		Question: "Can a child namespace see and change the limit and tcp_loose, and whose does it change?",
		Source:   limitsSource,
		Only:     probe.Initial,
		Sysctls:  []probe.Sysctl{{Name: maxSysctl, Value: "1000"}, {Name: looseSysctl, Value: "0"}},
		Run: func(p *probe.P) {
			p.InChild(func(c *probe.P) {
				for _, s := range []struct{ subject, name, value string }{
					{"max", maxSysctl, "500"}, {"loose", looseSysctl, "1"},
				} {
					value, err := lab.ReadSysctl(s.name)
					c.Errno(s.subject+"-read", err)
					c.Text(s.subject+"-read", "value", value)
					c.Errno(s.subject+"-write", lab.WriteSysctl(s.name, s.value))
					c.Text(s.subject+"-write", "value", read(c, s.name))
				}
			})
			p.Text("initial-max", "value", read(p, maxSysctl))
			p.Text("initial-loose", "value", read(p, looseSysctl))
		},
	},
	{
		Name:     "limits/out-of-range",
		Question: "Are limits below zero, or above what fits into a signed number, refused?",
		Source:   "nf_ct_sysctl_table in nf_conntrack_standalone.c",
		Only:     probe.Initial,
		Run: func(p *probe.P) {
			for _, s := range []struct{ subject, name string }{
				{"max", maxSysctl}, {"expect-max", "net.netfilter.nf_conntrack_expect_max"},
			} {
				for _, v := range []struct{ which, value string }{
					{"negative", "-1"}, {"zero", "0"}, {"above", "2147483648"},
				} {
					p.Set(s.name, "1000")
					p.Errno(s.subject+"-"+v.which, lab.WriteSysctl(s.name, v.value))
					p.Text(s.subject+"-"+v.which, "value", read(p, s.name))
				}
			}
		},
	},
	{
		Name:     "limits/user-namespace",
		Question: "Can a namespace owned by an unprivileged user see and change the limit and tcp_loose?",
		Source:   limitsSource + "; net_ctl_permissions in sysctl_net.c",
		Only:     probe.Initial,
		Sysctls:  []probe.Sysctl{{Name: maxSysctl, Value: "1000"}, {Name: looseSysctl, Value: "0"}},
		Run: func(p *probe.P) {
			for _, s := range []struct{ subject, name, value string }{
				{"max", maxSysctl, "500"}, {"loose", looseSysctl, "1"},
			} {
				answer, err := lab.UserNamespaceSysctl(s.name, s.value)
				if errors.Is(err, lab.ErrNoUserNamespaces) {
					p.Unsupported("%v", err)
				}
				p.Must(err)
				p.Errno(s.subject+"-read", answer.Read.Err())
				p.Text(s.subject+"-read", "value", answer.Value)
				p.Errno(s.subject+"-write", answer.Write.Err())
			}
			p.Text("initial-max", "value", read(p, maxSysctl))
			p.Text("initial-loose", "value", read(p, looseSysctl))
		},
	},
}

func read(p *probe.P, name string) string {
	value, err := lab.ReadSysctl(name)
	p.Must(err)
	return value
}

func number(p *probe.P, name string) int {
	n, err := strconv.Atoi(read(p, name))
	p.Must(err)
	return n
}
