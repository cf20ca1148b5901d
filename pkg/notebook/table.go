package notebook

import (
	"fmt"
	"html"
	"strings"
	"unicode/utf8"

	"github.com/janpfeifer/gonb/gonbui/protocol"

	"stuffed/pkg/numeral"
	"stuffed/pkg/table"
)

// Rows of a table that are shown; the others are only counted.
const mostRows = 40

// Table shows a table with the units of its columns in the header: numbers to the right with three significant digits, text to
// the left. Units for columns that the table lacks are an error.
func Table(t *table.Table, units map[string]string) error { return frontEnd().table(t, units) }

func (d front) table(t *table.Table, units map[string]string) error {
	for name := range units {
		if err := t.Require(name); err != nil {
			return fmt.Errorf("unit %q: %w", units[name], err)
		}
	}
	g := newCells(t, units)
	if !d.notebook {
		_, err := fmt.Fprint(d.text, g.plain())
		return err
	}
	d.send(&protocol.DisplayData{Data: map[protocol.MIMEType]any{
		protocol.MIMETextHTML:     g.html(),
		protocol.MIMETextMarkdown: g.markdown(),
		protocol.MIMETextPlain:    g.plain(),
	}})
	return nil
}

// cells holds a table as text.
type cells struct {
	head    []string
	numeric []bool
	rows    [][]string
	left    int // rows not shown
}

func newCells(t *table.Table, units map[string]string) *cells {
	g := &cells{left: max(0, t.Rows()-mostRows)}
	for _, c := range t.Columns {
		name := c.Name
		if u := units[c.Name]; u != "" && u != "1" {
			name += " (" + u + ")"
		}
		g.head = append(g.head, name)
		g.numeric = append(g.numeric, c.Texts == nil)
	}
	for row := range min(t.Rows(), mostRows) {
		line := make([]string, len(t.Columns))
		for i, c := range t.Columns {
			switch {
			case c.Ints != nil:
				line[i] = strings.Replace(fmt.Sprint(c.Ints[row]), "-", "−", 1)
			case c.Floats != nil:
				line[i] = numeral.Text(c.Floats[row])
			default:
				line[i] = c.Texts[row]
			}
		}
		g.rows = append(g.rows, line)
	}
	return g
}

func (g *cells) more() string {
	if g.left == 0 {
		return ""
	}
	return fmt.Sprintf("… and %d more rows", g.left)
}

// Larger tables scroll below their header and beside their first column.
const (
	wideColumns = 8
	longRows    = 16
)

func (g *cells) html() string {
	var b strings.Builder
	scrolls := len(g.head) > wideColumns || len(g.rows) > longRows
	cell := func(tag, s string, column int) {
		style := "text-align:left"
		if g.numeric[column] {
			style = "text-align:right"
		}
		if scrolls && (tag == "th" || column == 0) {
			style += ";position:sticky;background:var(--jp-layout-color0,#fff)"
			switch {
			case tag == "th" && column == 0:
				style += ";top:0;left:0;z-index:2"
			case tag == "th":
				style += ";top:0;z-index:1"
			default:
				style += ";left:0"
			}
		}
		fmt.Fprintf(&b, `<%s style="%s">%s</%s>`, tag, style, html.EscapeString(s), tag)
	}
	if scrolls {
		b.WriteString(`<div style="max-height:32em;max-width:100%;overflow:auto">`)
	}
	b.WriteString("<table><thead><tr>")
	for i, h := range g.head {
		cell("th", h, i)
	}
	b.WriteString("</tr></thead><tbody>")
	for _, row := range g.rows {
		b.WriteString("<tr>")
		for i, s := range row {
			cell("td", s, i)
		}
		b.WriteString("</tr>")
	}
	b.WriteString("</tbody></table>")
	if scrolls {
		b.WriteString("</div>")
	}
	if m := g.more(); m != "" {
		b.WriteString("<p>" + m + "</p>")
	}
	return b.String()
}

func (g *cells) markdown() string {
	rules := make([]string, len(g.head))
	for i, right := range g.numeric {
		rules[i] = ":--"
		if right {
			rules[i] = "--:"
		}
	}
	var b strings.Builder
	safe := strings.NewReplacer("|", `\|`, "\n", " ")
	for _, row := range append([][]string{g.head, rules}, g.rows...) {
		for _, s := range row {
			b.WriteString("| " + safe.Replace(s) + " ")
		}
		b.WriteString("|\n")
	}
	if m := g.more(); m != "" {
		b.WriteString("\n" + m + "\n")
	}
	return b.String()
}

func (g *cells) plain() string {
	widths := make([]int, len(g.head))
	for _, row := range append([][]string{g.head}, g.rows...) {
		for i, s := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(s))
		}
	}
	var b strings.Builder
	for _, row := range append([][]string{g.head}, g.rows...) {
		var line strings.Builder
		for i, s := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(s))
			if g.numeric[i] {
				s = pad + s
			} else {
				s += pad
			}
			if i > 0 {
				line.WriteString("  ")
			}
			line.WriteString(s)
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	if m := g.more(); m != "" {
		b.WriteString(m + "\n")
	}
	return b.String()
}
