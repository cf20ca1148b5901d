// Package view makes interactive charts that need no network: Vega-Lite specs (Satyanarayan et al., 2017) drawn by the embedded library,
// in JupyterLab and in exported pages alike. Print figures are those of the package figure.
package view

import (
	"embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/janpfeifer/gonb/gonbui"
	"github.com/janpfeifer/gonb/gonbui/protocol"

	"stuffed/pkg/atomic"
)

//go:embed vega
var library embed.FS

// scripts in the order in which they build on each other.
var scripts = []string{"vega", "vega-lite", "vega-embed"}

// View is an interactive chart or text.
type View struct {
	Title string
	Spec  map[string]any // of Vega-Lite; nil where Body is all
	Body  string         // HTML
}

// loading defines a promise that the library is there. It is inflated by the browser and kept out of a page's module loaders.
const loading = `window.stuffedVega ??= (async () => {
  for (const text of [%s]) {
    const raw = Uint8Array.from(atob(text), c => c.charCodeAt(0));
    const js = await new Response(new Blob([raw]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
    new Function("define", "module", "exports", js).call(window);
  }
})();
`

const drawing = `window.stuffedVega.then(() => vegaEmbed(document.getElementById(%q), %s, {actions: {export: true, source: false, compiled: false, editor: false}}));
`

var carried sync.Once

// Show shows the view in a notebook, and says what it is in a terminal.
func (v View) Show() error {
	if !gonbui.IsNotebook {
		fmt.Printf("interactive view: %s; Save writes it to a page\n", v.Title)
		return nil
	}
	with := false
	carried.Do(func() { with = true }) // one cell needs the library once
	body, err := v.html(gonbui.UniqueId(), with)
	if err != nil {
		return err
	}
	gonbui.SendData(&protocol.DisplayData{Data: map[protocol.MIMEType]any{protocol.MIMETextHTML: body, protocol.MIMETextPlain: v.Title}})
	return nil
}

// Save writes the view as a page of its own that needs nothing else.
func (v View) Save(path string) error {
	body, err := v.html("view", true)
	if err != nil {
		return err
	}
	return atomic.Write(path, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>%s</title>\n<body style=\"font: 15px/1.5 system-ui, sans-serif\">\n%s</body>\n</html>\n", escape(v.Title), body)
		return err
	})
}

// html is the view as an element; id must differ from those of other elements of the page.
func (v View) html(id string, with bool) (string, error) {
	if v.Spec == nil {
		return v.Body, nil
	}
	spec, err := json.Marshal(v.Spec) // escapes <, > and &, so that no text ends the script
	if err != nil {
		return "", fmt.Errorf("view %s: %w", v.Title, err)
	}
	var out strings.Builder
	fmt.Fprintf(&out, "%s<div id=%q style=\"overflow-x: auto\"></div>\n<script>\n", v.Body, id)
	if with {
		encoded, err := encodedScripts()
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&out, loading, encoded)
	}
	fmt.Fprintf(&out, drawing, id, spec)
	out.WriteString("</script>\n")
	return out.String(), nil
}

func encodedScripts() (string, error) {
	var all []string
	for _, name := range scripts {
		b, err := library.ReadFile("vega/" + name + ".min.js.gz")
		if err != nil {
			return "", err
		}
		all = append(all, `"`+base64.StdEncoding.EncodeToString(b)+`"`)
	}
	return strings.Join(all, ", "), nil
}
