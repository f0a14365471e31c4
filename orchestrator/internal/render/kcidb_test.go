package render

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

var (
	kcidbID   = regexp.MustCompile(`^[a-z0-9_]+:[^\x00]*$`)
	kcidbPath = regexp.MustCompile(`^([a-zA-Z0-9_-]+(\.[a-zA-Z0-9_-]+)*)?$`)
	kcidbArch = regexp.MustCompile(`^[a-z0-9_]*$`)
)

// The rules of the schema that matter, and what it cannot say: that ids are unique
// and lead somewhere, and that no path tells the kernel.
func TestKCIDB(t *testing.T) {
	eachTold(t, "kcidb.json", func(t *testing.T, tab *table.Table, text []byte) {
		var doc kcidb
		dec := json.NewDecoder(bytes.NewReader(text))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&doc); err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, []byte(": null")) {
			t.Error("null in the document")
		}
		ids := map[string]bool{}
		id := func(kind, id, origin string) {
			if !kcidbID.MatchString(id) || !strings.HasPrefix(id, origin+":") || origin != "ctmatrix" {
				t.Errorf("%s %q of %q", kind, id, origin)
			}
			if ids[kind+id] {
				t.Errorf("%s %q twice", kind, id)
			}
			ids[kind+id] = true
		}
		for _, c := range doc.Checkouts {
			id("checkout", c.ID, c.Origin)
		}
		for _, b := range doc.Builds {
			id("build", b.ID, b.Origin)
			if !ids["checkout"+b.CheckoutID] || !kcidbArch.MatchString(b.Architecture) {
				t.Errorf("build %+v", b)
			}
		}
		paths := map[string]int{}
		for _, x := range doc.Tests {
			id("test", x.ID, x.Origin)
			if !ids["build"+x.BuildID] || !kcidbPath.MatchString(x.Path) || utf8.RuneCountInString(x.LogExcerpt) > mostExcerpt {
				t.Errorf("test %+v", x)
			}
			paths[x.Path]++
		}
		for path, n := range paths {
			if n%len(tab.Columns) != 0 {
				t.Errorf("path %s of %d tests on %d kernels", path, n, len(tab.Columns))
			}
		}
		if want := len(tab.Columns) * (1 + len(tab.Probes)); len(doc.Tests) != want {
			t.Errorf("%d tests, want %d", len(doc.Tests), want)
		}
	})
}

// What each outcome is told as.
func TestKCIDBStatus(t *testing.T) {
	for name, want := range map[string][]string{
		"four": {
			"5.10.262-1 ctmatrix.run DONE", "5.10.262-1 ctmatrix.loose.on DONE", "6.1.192-2 ctmatrix.loose.on PASS",
			"6.1.192-2 ctmatrix.limits.defaults FAIL", "6.12.117-1 ctmatrix.limits.defaults PASS",
			"6.12.117-1 ctmatrix.table-full.syn FAIL", "5.10.262-1 ctmatrix.enable.flowtable SKIP",
			"6.1.192-2 ctmatrix.enable.flowtable_child FAIL", "6.12.117-1 ctmatrix.table-full.flood ERROR",
			"7.3.4-1 ctmatrix.table-full.flood PASS", "7.3.4-1 ctmatrix.loose.on FAIL",
		},
		"failed": {
			"6.12.117-1 ctmatrix.run FAIL", "7.3.4-1 ctmatrix.run MISS", "7.3.4-1 ctmatrix.loose.on MISS",
			"6.12.117-1 ctmatrix.table-full.flood FAIL", "5.10.262-1 ctmatrix.table-full.syn ERROR",
		},
		"repetitions": {"6.1.192-2 ctmatrix.table-full.syn ERROR"},
	} {
		tab := told[name](t)
		var doc kcidb
		if err := json.Unmarshal(export(t, exports[3].write, tab), &doc); err != nil {
			t.Fatal(err)
		}
		got := map[string]bool{}
		for _, x := range doc.Tests {
			got[strings.Split(x.BuildID, "/")[1]+" "+x.Path+" "+x.Status] = true
		}
		for _, w := range want {
			if !got[w] {
				t.Errorf("%s: no %s", name, w)
			}
		}
	}
}

// The schema is kept outside of the project, which may not pass it on.
func TestKCIDBSchema(t *testing.T) {
	const name = "../../../../shared/schemas/kcidb.v5.3.json"
	if _, err := os.Stat(name); err != nil {
		t.Skipf("no schema to check against: %v", err)
	}
	schema, err := jsonschema.NewCompiler().Compile(name)
	if err != nil {
		t.Fatal(err)
	}
	eachTold(t, "kcidb.json", func(t *testing.T, _ *table.Table, text []byte) {
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(doc); err != nil {
			t.Error(err)
		}
	})
	if err := schema.Validate(map[string]any{"version": map[string]any{"major": 4}}); err == nil {
		t.Error("the schema takes another version")
	}
}
