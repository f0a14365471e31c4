package userland

import "strings"

// Suites are where programs come from: one release whatever the kernel, so that
// two kernels are looked at with the same eyes. Its C library asks for nothing
// that the oldest kernels here lack.
var Suites = []string{"trixie", "trixie-updates", "trixie-security"}

// roots are the packages that a person at a shell misses first. What they need
// comes with them.
var roots = []string{
	"bash", "conntrack", "coreutils", "diffutils", "ethtool", "findutils", "grep", "iproute2", "iptables", "iputils-ping",
	"kmod", "less", "mawk", "mount", "ncurses-base", "ncurses-bin", "netbase", "netcat-openbsd", "nftables", "procps", "sed", "strace",
	"tar", "tcpdump", "util-linux",
}

// without are packages that others say they need and that a guest can do
// without, each with the reason.
var without = []struct{ name, why string }{
	{"adduser", "only scripts of packages use it, which never run here"},
	{"base-files", "the root is laid out here"},
	{"base-passwd", "the users are written here"},
	{"debconf", "as adduser"},
	{"debconf-2.0", "as adduser"},
	{"debianutils", "as adduser"},
	{"gcc-14-base", "documents only"},
	{"init-system-helpers", "as adduser"},
	{"install-info", "as adduser"},
	{"libaudit-common", "configures a daemon"},
	{"libcap2-bin", "programs that iproute2 does not call"},
	{"libpam-modules", "nobody logs in"},
	{"libpam-modules-bin", "as libpam-modules"},
	{"libpam-runtime", "as libpam-modules"},
	{"libtirpc-common", "configures a service that is not there"},
	{"login.defs", "as libpam-modules"},
	{"openssl-provider-legacy", "ciphers that tcpdump decrypts nothing with"},
	{"perl-base", "as adduser"},
}

// left are trees of packages that only take room: documents, translations,
// character sets, and what is for an init system or a package manager.
var left = []string{
	"etc/cron.d", "etc/init.d", "etc/default", "etc/systemd", "usr/lib/systemd", "usr/lib/tmpfiles.d", "usr/lib/sysusers.d", "usr/lib/udev",
	"usr/lib/x86_64-linux-gnu/gconv", "usr/share/bash-completion", "usr/share/bug", "usr/share/debconf", "usr/share/debianutils",
	"usr/share/doc", "usr/share/doc-base", "usr/share/info", "usr/share/lintian", "usr/share/locale", "usr/share/man", "usr/share/menu",
	"usr/share/perl5", "usr/share/pixmaps", "usr/share/polkit-1", "usr/share/zsh", "var",
}

func isLeft(name string) bool {
	for _, tree := range left {
		if name == tree || strings.HasPrefix(name, tree+"/") {
			return true
		}
	}
	return false
}

// links are what scripts of packages would make, and the merger of /bin and its
// like with /usr. There is none of /lib: the kernel's modules lie there.
var links = []struct{ name, target string }{
	{"bin", "usr/bin"},
	{"sbin", "usr/sbin"},
	{"lib64", "usr/lib64"},
	{"lib/terminfo", "../usr/lib/terminfo"},
	{"etc/mtab", "../proc/self/mounts"},
	{"usr/bin/awk", "mawk"},
	{"usr/bin/nc", "nc.openbsd"},
	{"usr/bin/pager", "less"},
	{"usr/bin/sh", "bash"},
	{"usr/sbin/iptables", "iptables-nft"},
	{"usr/sbin/iptables-restore", "iptables-nft-restore"},
	{"usr/sbin/iptables-save", "iptables-nft-save"},
	{"usr/sbin/ip6tables", "ip6tables-nft"},
	{"usr/sbin/ip6tables-restore", "ip6tables-nft-restore"},
	{"usr/sbin/ip6tables-save", "ip6tables-nft-save"},
	// The agent loads modules, of the names that the kernel asks for too.
	{"usr/sbin/modprobe", "/init"},
}

// texts are what an installation would have written.
var texts = []struct{ name, text string }{
	{"etc/passwd", "root:x:0:0:root:/root:/bin/bash\ntcpdump:x:100:100::/nonexistent:/usr/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"},
	{"etc/group", "root:x:0:\ntty:x:5:\ntcpdump:x:100:\nnogroup:x:65534:\n"},
	{"etc/hosts", "127.0.0.1 localhost ctmatrix\n::1 localhost\n"},
	{"etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\nprotocols: files\nservices: files\nethers: files\n"},
	{"root/.inputrc", "set bell-style none\nset enable-bracketed-paste on\n"},
	{strings.TrimPrefix(RCFile, "/"), bashrc},
}

// RCFile is what an interactive bash is to read.
const RCFile = "/etc/ctmatrix/bashrc"

// KernelVariable is the environment variable with the kernel's name, for the
// prompt.
const KernelVariable = "CTMATRIX_KERNEL"

// A terminal that ncurses knows nothing of most likely understands xterm's.
const bashrc = `for d in /usr/share/terminfo /lib/terminfo; do
	[ -e "$d/${TERM:0:1}/$TERM" ] && known=1
done
[ -n "$known" ] || export TERM=xterm-256color
unset d known
HISTFILE=
cd
PS1='\[\e[1m\]${` + KernelVariable + `}\[\e[0m\] \w \$ '
alias ls='ls --color=auto' ll='ls -l' ip='ip --color=auto' grep='grep --color=auto'
`
