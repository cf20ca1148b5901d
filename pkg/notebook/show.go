package notebook

import (
	"fmt"
	"io"
	"os"

	"github.com/janpfeifer/gonb/gonbui"
	"github.com/janpfeifer/gonb/gonbui/protocol"

	"stuffed/pkg/figure"
)

// front is where things are shown: the notebook, or a terminal, which gets text.
type front struct {
	notebook bool
	send     func(*protocol.DisplayData)
	text     io.Writer
	svg      int // larger figures are shown as pixels, to keep the notebook small
	small    bool
}

func frontEnd() front {
	f := front{notebook: gonbui.IsNotebook, send: gonbui.SendData, text: os.Stdout, svg: 300 << 10}
	if os.Getenv(HeadlessVariable) == publish {
		f.small, f.svg = true, 0
	}
	return f
}

// Show shows a figure in the notebook as SVG and PNG; on a terminal it prints what the figure is.
func Show(f *figure.Figure) error { return frontEnd().show(f) }

func (d front) show(f *figure.Figure) error {
	w, h := f.Inches()
	said := fmt.Sprintf("figure, %.2f × %.2f inches, %d points", w, h, f.Points.Rows())
	if !d.notebook {
		_, err := fmt.Fprintln(d.text, said+"; figure.Save writes it to files")
		return err
	}
	pixels, err := f.PNG(144)
	if err == nil && d.small {
		if pixels, err = f.PNG(110); err == nil {
			pixels, err = indexed(pixels)
		}
	}
	if err != nil {
		return err
	}
	data := map[protocol.MIMEType]any{protocol.MIMEImagePNG: pixels, protocol.MIMETextPlain: said}
	if d.small {
		d.send(&protocol.DisplayData{Data: data})
		return nil
	}
	svg, err := f.SVG()
	if err != nil {
		return err
	}
	if len(svg) <= d.svg {
		data[protocol.MIMEImageSVG] = string(svg)
	}
	d.send(&protocol.DisplayData{Data: data})
	return nil
}
