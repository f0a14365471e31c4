package render

import (
	"bytes"
	"fmt"
	"html"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
	goldhtml "github.com/yuin/goldmark/renderer/html"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// github renders as GitHub does before it sanitizes.
var github = goldmark.New(goldmark.WithExtensions(extension.GFM), goldmark.WithRendererOptions(goldhtml.WithUnsafe()))

func rendered(t *testing.T, text string) string {
	t.Helper()
	var buf bytes.Buffer
	if err := github.Convert([]byte(text), &buf); err != nil {
		t.Fatal(err)
	}
	return buf.String()
}

var (
	htmlTag   = regexp.MustCompile(`</?[a-zA-Z][^>]*>`)
	htmlCode  = regexp.MustCompile(`(?s)<code>.*?</code>`)
	namesTold = regexp.MustCompile(`[@#][A-Za-z0-9]`)
)

// ours are the tags that Markdown writes or its markup becomes.
var ours = regexp.MustCompile(`^</?(h[234]|p|ul|li|table|thead|tbody|tr|th|td|code|strong|details|summary)( /)?>$`)

// No text of a guest becomes markup, a link, or somebody's name.
func TestMarkdown(t *testing.T) {
	eachTold(t, "md", func(t *testing.T, _ *table.Table, text []byte) {
		page := rendered(t, string(text))
		for _, tag := range htmlTag.FindAllString(page, -1) {
			if !ours.MatchString(tag) {
				t.Errorf("tag %s", tag)
			}
		}
		if names := namesTold.FindAllString(html.UnescapeString(htmlCode.ReplaceAllString(page, "")), -1); len(names) > 0 {
			t.Errorf("GitHub tells %q", names)
		}
		if open, shut := strings.Count(page, "<details>"), strings.Count(page, "</details>"); open != shut {
			t.Errorf("%d details opened, %d closed", open, shut)
		}
		for _, row := range regexp.MustCompile(`(?s)<table>.*?</table>`).FindAllString(page, -1) {
			heads := strings.Count(row, "<th>")
			if strings.Count(row, "<td>") != heads*strings.Count(row, "<tr>")-heads {
				t.Errorf("rows of other widths in %s", row)
			}
		}
	})
}

// A page that is too long ends behind a whole block and says what is left out.
func TestMarkdownFits(t *testing.T) {
	tab := told["attack"](t)
	whole := string(export(t, exports[0].write, tab))
	if strings.Contains(whole, "left out") {
		t.Fatal("left out without need")
	}
	cut := 0
	for limit := len(whole) + 10; limit > 700; limit -= 97 {
		got := string(written(t, func(w io.Writer) error { return Markdown(w, tab, summary, limit) }))
		if len(got) > limit {
			t.Fatalf("%d bytes, more than %d", len(got), limit)
		}
		if got == whole {
			continue
		}
		cut++
		at := strings.Index(got, "\n**")
		if at < 0 || !strings.HasPrefix(whole, got[:at]) || !strings.Contains(got, "left out**") || !strings.Contains(got, "`ctmatrix report out/") {
			t.Fatalf("limit %d:\n%s", limit, got)
		}
		if rest := whole[at:]; !strings.HasPrefix(rest, "\n") && !strings.HasPrefix(rest, "- ") {
			t.Fatalf("limit %d cuts a block at %.60q", limit, rest)
		}
	}
	if cut < 5 {
		t.Errorf("cut %d times", cut)
	}
}

// mdCell is one piece of code that says what went in, whatever that is.
func FuzzMarkdownCell(f *testing.F) {
	for _, s := range mischief {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Trim(clip(text, mostText), " ") == "" {
			return
		}
		page := rendered(t, fmt.Sprintf("| a | b |\n|---|---|\n| %s | c |\n", mdCell(text)))
		want := "<td><code>" + htmlText(clip(text, mostText)) + "</code></td>\n<td>c</td>"
		if !strings.Contains(page, want) {
			t.Errorf("%q is not in\n%s", want, page)
		}
	})
}

// htmlText escapes as the renderer does.
func htmlText(text string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;").Replace(text)
}

// mdText is a paragraph that says what went in, but for the spaces of no width.
func FuzzMarkdownText(f *testing.F) {
	for _, s := range mischief {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		want := strings.Trim(clip(text, mostText), " ")
		if want == "" || strings.HasPrefix(clip(text, mostText), " ") {
			return
		}
		got := strings.ReplaceAll(rendered(t, mdText(text)), "\u200b", "")
		if got != "<p>"+htmlText(want)+"</p>\n" {
			t.Errorf("%q becomes %q", text, got)
		}
	})
}
