package modules

import (
	"slices"
	"testing"
)

func TestAliases(t *testing.T) {
	a := parseAliases("nft_expr_1_ct nft_ct\nnft_expr_ct nft_ct\nip_conntrack_* nf_conntrack\nbad\nx y z\nipt_state xt_state\nipt_state xt_conntrack\n[ broken\n")
	for name, want := range map[string][]string{
		"nft-expr-ct":       {"nft_ct"},
		"ip_conntrack_ipv4": {"nf_conntrack"},
		"ipt_state":         {"xt_state", "xt_conntrack"},
		"nft_ct":            nil,
		"x":                 nil,
		"bad":               nil,
	} {
		if got := a.Find(name); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
