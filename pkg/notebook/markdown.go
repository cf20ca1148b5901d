package notebook

import (
	"fmt"

	"github.com/janpfeifer/gonb/gonbui/protocol"
)

// Markdown shows formatted text; a terminal gets the source.
func Markdown(text string) error {
	d := frontEnd()
	if !d.notebook {
		_, err := fmt.Fprintln(d.text, text)
		return err
	}
	d.send(&protocol.DisplayData{Data: map[protocol.MIMEType]any{protocol.MIMETextMarkdown: text, protocol.MIMETextPlain: text}})
	return nil
}
