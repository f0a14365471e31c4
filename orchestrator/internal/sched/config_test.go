package sched

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// What can matter of a configuration stands with the cell, whether it ran or not;
// it changes neither its identity nor what the cache keeps.
func TestConfig(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := write("config-6.1", "CONFIG_NF_CONNTRACK=m\nCONFIG_EXT4_FS=y\n# CONFIG_NF_CT_PROTO_DCCP is not set\n")
	bad := write("config-6.2", "no configuration\n")
	want := map[string]string{"CONFIG_NF_CONNTRACK": "m", "CONFIG_NF_CT_PROTO_DCCP": "n"}

	cells := results.NewCache(filepath.Join(dir, "cells"))
	ids := map[string]string{}
	for round, configs := range []map[string]string{{}, {"6.1": good, "6.2": bad}} {
		r := newRig(t, map[string]script{
			"6.1": {stream: stream(t, "6.1-cloud")}, "6.2": {stream: stream(t, "6.2-cloud")}, "6.3": {stream: stream(t, "6.3-cloud")},
		})
		var warned []string
		r.fakes.configs, r.Cells, r.Warn = configs, cells, func(msg string) { warned = append(warned, msg) }
		for _, c := range r.run(t.Context(), t) {
			var have map[string]string
			if round == 1 && c.Kernel.Version == "6.1" {
				have = want
			}
			if d := cmp.Diff(have, c.Config); d != "" {
				t.Errorf("round %d, %s (-want +got)\n%s", round, c.Kernel.Version, d)
			}
			if c.Outcome != results.CellOK || c.Booted() != (round == 0) {
				t.Errorf("round %d, %s: %s, booted %v", round, c.Kernel.Version, c.Outcome, c.Booted())
			}
			if before := ids[c.Kernel.Version]; before != "" && before != c.ID {
				t.Errorf("%s: another identity with a configuration", c.Kernel.Version)
			}
			ids[c.Kernel.Version] = c.ID
		}
		if got := fmt.Sprint(warned); round == 1 && (len(warned) != 1 || !strings.Contains(got, ": options are not told beside its rows: read configuration: it has no options")) {
			t.Errorf("warned %s", got)
		}
	}
}
