package lab

import "testing"

func TestRuleText(t *testing.T) {
	for _, test := range []struct {
		rule Rule
		want string
	}{
		{On(RawOutput, Out(NearName), Proto("tcp"), Sport(80), Meter("replies"), Drop),
			`raw-output: oifname "near" meta l4proto tcp th sport 80 counter drop`},
		{On(FilterForward), "filter-forward: (no rule)"},
		{On(ManglePrerouting, CtState("new"), Accept), "mangle-prerouting: ct state new accept"},
		{On(RawPrerouting, RateOver(5), Drop), "raw-prerouting: limit rate over 1/minute burst 5 packets drop"},
		{On(FilterForward, Flowtable("near"), Never, FlowAdd()), `filter-forward: (with flowtable "fast") meta mark 0xdead flow add @fast`},
	} {
		if got := test.rule.String(); got != test.want {
			t.Errorf("rule is written\n%s\nwant\n%s", got, test.want)
		}
	}
}
