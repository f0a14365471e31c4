package render

import (
	"html"
	"regexp"
	"strings"

	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// mdCode is a text as code in GitHub's Markdown, where nothing in it is markup, a
// link, a name that is told of, or an emoji.
func mdCode(text string) string { return mdCodeOf(clip(text, mostText)) }

func mdCodeOf(text string) string {
	text = observe.Escape(text)
	longest, run := 0, 0
	for _, r := range text {
		if r == '`' {
			run++
		} else {
			run = 0
		}
		longest = max(longest, run)
	}
	if text == "" {
		return ""
	}
	pad := ""
	ends := func(c string) bool { return strings.HasPrefix(text, c) || strings.HasSuffix(text, c) }
	if ends("`") || ends(" ") {
		pad = " " // one on each side is no part of the code
	}
	fence := strings.Repeat("`", longest+1)
	return fence + pad + text + pad + fence
}

// mdCell is mdCode in a cell of a table, which bars end even in code.
func mdCell(text string) string { return strings.ReplaceAll(mdCode(text), "|", `\|`) }

var (
	mdMarkup = strings.NewReplacer(
		`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "|", `\|`, "~", `\~`, "$", `\$`,
		"&", "&amp;", "<", "&lt;", ">", "&gt;", "#", `\#`+noBreak,
		"@", "@"+noBreak, "://", ":"+noBreak+"//", "www.", "www"+noBreak+".", "WWW.", "WWW"+noBreak+".",
	)
	// mdBegins is what makes a line another kind of block.
	mdBegins = regexp.MustCompile(`^([-+=:]|[0-9]{1,9}[.)]( |$))`)
)

// noBreak is a space of no width: behind it GitHub sees no name and no link.
const noBreak = "&#8203;"

// mdText is a text as prose in GitHub's Markdown, on one line.
func mdText(text string) string {
	text = mdMarkup.Replace(clip(text, mostText))
	if begin := mdBegins.FindString(text); begin != "" {
		at := len(strings.TrimRight(begin, " ")) - 1
		return text[:at] + `\` + text[at:]
	}
	return text
}

// mdHTML is a text inside an element of HTML.
func mdHTML(text string) string {
	return strings.NewReplacer("@", "@"+noBreak, "#", "#"+noBreak).Replace(html.EscapeString(clip(text, mostWords)))
}
