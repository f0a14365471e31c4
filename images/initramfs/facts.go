package initramfs

// moves are modules that became part of others: a later kernel has no such file,
// yet all that was in it. One counts only where the kernel has the other module.
// The releases are those between which Debian's packages changed.
var moves = []struct{ name, into, why string }{
	{"nft_counter", "nf_tables", "built into nf_tables between 5.10 and 6.1"},
	{"nft_objref", "nf_tables", "built into nf_tables between 6.1 and 6.12"},
	{"nf_log_common", "nf_log_syslog", "one module logs for all families since before 6.1"},
	{"nf_log_ipv4", "nf_log_syslog", "one module logs for all families since before 6.1"},
	{"nf_log_ipv6", "nf_log_syslog", "one module logs for all families since before 6.1"},
	{"nf_log_arp", "nf_log_syslog", "one module logs for all families since before 6.1"},
	{"nf_log_bridge", "nf_log_syslog", "one module logs for all families since before 6.1"},
	{"nf_log_netdev", "nf_log_syslog", "one module logs for all families since before 6.1"},
	{"nf_flow_table_ipv4", "nf_flow_table_inet", "nf_flow_table_inet has its alias nf-flowtable-2 since before 6.1"},
	{"nf_flow_table_ipv6", "nf_flow_table_inet", "nf_flow_table_inet has its alias nf-flowtable-10 since before 6.1"},
}

// requests are modules that the kernel asks modprobe for when another one is
// used, and says so nowhere. The guest has no modprobe, so they are loaded
// beforehand. Those that a kernel does not have are left out.
var requests = []struct {
	module string
	needs  []string
	why    string
}{
	{"libcrc32c", []string{"crc32c"}, "crypto_alloc_shash in libcrc32c.c; Debian's builds say so in a softdep, others may not"},
	{"nf_conntrack_amanda", []string{"ts_kmp"}, "textsearch_prepare in nf_conntrack_amanda.c"},
	{"xt_string", []string{"ts_bm", "ts_fsm", "ts_kmp"}, "textsearch_prepare in xt_string.c, by the rule's algorithm"},
	{"nft_log", []string{"nf_log_syslog", "nf_log_ipv4", "nf_log_ipv6"}, "nf_logger_find_get in nf_log.c, when a rule is added"},
	{"xt_LOG", []string{"nf_log_syslog", "nf_log_ipv4", "nf_log_ipv6"}, "nf_logger_find_get in nf_log.c, when a rule is added"},
	{"nft_flow_offload", []string{"nf_flow_table_inet", "nf_flow_table_ipv4", "nf_flow_table_ipv6"}, "nft_flowtable_type_get in nf_tables_api.c, when a flowtable is added"},
}

func requestsOf(module string) []string {
	for _, r := range requests {
		if r.module == module {
			return r.needs
		}
	}
	return nil
}
