package render

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// Every row is there, with as many fields as the header, and none is computed.
func TestCSV(t *testing.T) {
	eachTold(t, "csv", func(t *testing.T, tab *table.Table, text []byte) {
		lines, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		if want := 1 + len(tab.Rows) + len(tab.Chance); len(lines) != want {
			t.Errorf("%d lines, want %d", len(lines), want)
		}
		for _, l := range lines {
			for _, f := range l {
				if strings.IndexAny(strings.TrimLeft(f, " "), "=+-@\t\r\n") == 0 {
					t.Errorf("a spreadsheet computes %q", f)
				}
			}
		}
		if n := bytes.Count(text, []byte("\n")); n != bytes.Count(text, []byte("\r\n")) || n != len(lines) {
			t.Errorf("%d ends of lines, of %d lines", n, len(lines))
		}
	})
}

func TestGuarded(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "7 new": "7 new", "a=b": "a=b", "=1": "'=1", " =1": "' =1", "+1": "'+1", "-1": "'-1", "@x": "'@x",
		"\tx": `'\tx`, "\rx": `'\rx`, "＝1": "'＝1", "'=1": "'=1", " ": " ", "a\tb": `a\tb`, "\x1b[1m": `\x1b[1m`,
	} {
		if got := guarded(in); got != want {
			t.Errorf("guarded(%q) = %q, want %q", in, got, want)
		}
	}
}

// What was not recorded is told apart from what was.
func TestCSVValue(t *testing.T) {
	for want, v := range map[string]table.Value{
		"7 new":                    {Status: table.Recorded, Kind: observe.Class, Text: "7 new"},
		"":                         {Status: table.Recorded, Kind: observe.Text},
		"(absent)":                 {Status: table.Absent},
		"(unsupported: no module)": {Status: table.Unsupported, Text: "no module"},
	} {
		if got := csvValue(v); got != want {
			t.Errorf("%+v is %q, want %q", v, got, want)
		}
	}
}
