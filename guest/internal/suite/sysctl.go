package suite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
)

const sysctlSource = "nf_ct_sysctl_table in nf_conntrack_standalone.c; Documentation/networking/nf_conntrack-sysctl.rst"

// settingNames are conntrack's sysctls below net.netfilter of any kernel from
// 5.10 to 7.3, so that rows are the same on all of them; what another kernel has
// besides is a row of its own.
var settingNames = slices.Concat(
	prefixed("nf_conntrack_", "acct", "buckets", "checksum", "count", "events", "expect_max", "generic_timeout",
		"gre_timeout", "gre_timeout_stream", "helper", "icmp_timeout", "icmpv6_timeout", "log_invalid", "max",
		"timestamp", "udp_timeout", "udp_timeout_stream"),
	prefixed("nf_conntrack_dccp_", "loose", "timeout_closereq", "timeout_closing", "timeout_open", "timeout_partopen",
		"timeout_request", "timeout_respond", "timeout_timewait"),
	prefixed("nf_conntrack_sctp_timeout_", "closed", "cookie_echoed", "cookie_wait", "established", "heartbeat_acked",
		"heartbeat_sent", "shutdown_ack_sent", "shutdown_recd", "shutdown_sent"),
	prefixed("nf_conntrack_tcp_", "be_liberal", "ignore_invalid_rst", "loose", "max_retrans", "timeout_close",
		"timeout_close_wait", "timeout_established", "timeout_fin_wait", "timeout_last_ack", "timeout_max_retrans",
		"timeout_syn_recv", "timeout_syn_sent", "timeout_time_wait", "timeout_unacknowledged"),
	prefixed("nf_flowtable_", "tcp_timeout", "udp_timeout"),
)

func prefixed(prefix string, names ...string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = prefix + n
	}
	return out
}

// sized are the settings whose value follows from the memory that the kernel's
// image leaves free, or from what goes on.
var sized = []string{"nf_conntrack_buckets", "nf_conntrack_count", "nf_conntrack_expect_max", "nf_conntrack_max"}

const netfilter = "net.netfilter."

var sysctls = []probe.Probe{
	{
		Name:     "sysctl/inventory",
		Question: "Which settings are there, with which default and mode, in the initial and in a child namespace?",
		Source:   sysctlSource,
		Run: func(p *probe.P) {
			for _, name := range settingNames {
				p.Text(subject(name), "default", setting(p, name))
			}
			p.Text("beyond", "names", listOr("none", unlisted(p)))
		},
	},
	{
		Name:     "sysctl/user-namespace",
		Question: "Which settings does the root of an unprivileged user's namespace see there, and which may it write?",
		Source:   sysctlSource + "; net_ctl_permissions in sysctl_net.c",
		Only:     probe.Initial,
		Run: func(p *probe.P) {
			names := make([]string, len(settingNames))
			for i, name := range settingNames {
				names[i] = netfilter + name
			}
			answers, err := lab.UserNamespaceSysctls(names)
			if errors.Is(err, lab.ErrNoUserNamespaces) {
				p.Unsupported("%v", err)
			}
			p.Must(err)
			for i, a := range answers {
				p.Text(subject(settingNames[i]), "access", fmt.Sprintf("read %s, write %s", probe.ErrnoName(a.Read.Err()), probe.ErrnoName(a.Write.Err())))
			}
		},
	},
	{
		Name:     "sysctl/inherited",
		Question: "Which settings does a new namespace take over from the initial one, and which begin with their defaults?",
		Source:   "nf_conntrack_tcp_init_net and its like in nf_conntrack_proto_*.c; nf_conntrack_init_net in nf_conntrack_core.c",
		Only:     probe.Initial,
		Run: func(p *probe.P) {
			changed := map[string]string{}
			for _, name := range settingNames {
				changed[name] = change(p, name)
			}
			p.InChild(func(c *probe.P) {
				for _, name := range settingNames {
					value, err := lab.ReadSysctl(netfilter + name)
					switch {
					case err != nil:
						c.Text(subject(name), "value", probe.ErrnoName(err))
					case changed[name] == "":
						c.Text(subject(name), "value", "cannot be changed")
					case value == changed[name]:
						c.Text(subject(name), "value", "taken over")
					default:
						c.Text(subject(name), "value", "its own")
					}
				}
			})
		},
	},
	{
		Name:     "sysctl/apart",
		Question: "Which settings may a child namespace write, and which of the initial one's change with them?",
		Source:   sysctlSource,
		Only:     probe.Initial,
		Run: func(p *probe.P) {
			before := map[string]string{}
			for _, name := range settingNames {
				before[name], _ = lab.ReadSysctl(netfilter + name) // a missing one stays missing
			}
			wrote := map[string]string{}
			p.InChild(func(c *probe.P) {
				for _, name := range settingNames {
					value, err := lab.ReadSysctl(netfilter + name)
					if err == nil {
						err = lab.WriteSysctl(netfilter+name, other(value))
					}
					wrote[name] = probe.ErrnoName(err)
				}
			})
			for _, name := range settingNames {
				now, _ := lab.ReadSysctl(netfilter + name)
				told := "write " + wrote[name] + ", initial the same"
				if now != before[name] && !slices.Contains(sized, name) {
					told = "write " + wrote[name] + ", initial changed"
				}
				p.Text(subject(name), "write", told)
			}
		},
	},
	{
		Name:     "sysctl/range",
		Question: "Which values does each setting take: below zero, zero, one, two, at and beyond what fits a byte and a signed number, none?",
		Source:   sysctlSource + "; proc_dointvec_minmax, proc_dou8vec_minmax and proc_dointvec_jiffies in kernel/sysctl.c",
		Only:     probe.Initial,
		Run: func(p *probe.P) {
			for _, name := range settingNames {
				if slices.Contains([]string{"nf_conntrack_buckets", "nf_conntrack_max", "nf_conntrack_expect_max"}, name) {
					continue // limits/ asks these
				}
				p.Text(subject(name), "taken", takes(p, name))
			}
		},
	},
}

// setting is a sysctl's value, unless that follows from the machine, and mode.
func setting(p *probe.P, name string) string {
	value, err := lab.ReadSysctl(netfilter + name)
	if errors.Is(err, fs.ErrNotExist) {
		return "none"
	}
	p.Must(err)
	if slices.Contains(sized, name) {
		value = "(sized)"
	}
	info, err := os.Stat("/proc/sys/net/netfilter/" + name)
	p.Must(err)
	return fmt.Sprintf("%s %#o", value, info.Mode().Perm())
}

// unlisted are conntrack's settings that are not among settingNames.
func unlisted(p *probe.P) []string {
	entries, err := os.ReadDir("/proc/sys/net/netfilter")
	p.Must(err)
	var names []string
	for _, e := range entries {
		name := e.Name()
		ours := strings.HasPrefix(name, "nf_conntrack_") && !strings.HasPrefix(name, "nf_conntrack_frag6_") || strings.HasPrefix(name, "nf_flowtable_")
		if ours && !slices.Contains(settingNames, name) {
			names = append(names, name)
		}
	}
	return names
}

// change gives a setting another value until the probe ends, and returns it, or
// nothing if it takes none.
func change(p *probe.P, name string) string {
	value, err := lab.ReadSysctl(netfilter + name)
	if err != nil || slices.Contains(sized, name) {
		return "" // these hold for all
	}
	p.Set(netfilter+name, other(value))
	return other(value)
}

// other is another value that a setting of this one takes, whatever it is.
func other(value string) string {
	switch value {
	case "0":
		return "1"
	case "1", "2":
		return "0"
	}
	return "77"
}

// takes writes values into a setting and says what became of each: "ok 0 1,
// EINVAL -1 2, nothing reads 0".
func takes(p *probe.P, name string) string {
	full := netfilter + name
	value, err := lab.ReadSysctl(full)
	if err != nil {
		return probe.ErrnoName(err)
	}
	if name == "nf_conntrack_count" {
		return "not asked" // nobody may write it
	}
	// Set back in the end, whatever the setting reads then: some kernels read
	// what they would not take.
	p.Set(full, value)
	var verdicts []string
	values := map[string]string{}
	for _, v := range []string{"-1", "0", "1", "2", "3", "255", "256", "2147483647", "2147483648", ""} {
		p.Must(lab.WriteSysctl(full, value))
		verdict := probe.ErrnoName(lab.WriteSysctl(full, v))
		if now := read(p, full); v == "" {
			v = "reads " + now
			verdict = "nothing " + verdict
		} else if verdict == "ok" && now != v {
			v += " (reads " + now + ")"
		}
		if values[verdict] == "" {
			verdicts = append(verdicts, verdict)
		}
		values[verdict] += " " + v
	}
	for i, verdict := range verdicts {
		verdicts[i] = verdict + values[verdict]
	}
	return strings.Join(verdicts, ", ")
}

// subject is what rows call a setting: its name without what most begin with.
func subject(name string) string { return strings.TrimPrefix(name, "nf_conntrack_") }
