package study

import (
	"bytes"
	"encoding/json"
	"testing"

	"stuffed/pkg/manifest"
	"stuffed/xla"
)

// A row's manifest is sufficient to reproduce the row.
func TestRowSaysHowItIsMade(t *testing.T) {
	rows, err := stateRows(1)
	if err != nil {
		t.Fatal(err)
	}
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	about, err := (&Trainer{Device: d}).About(rows[0])
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(about)
	if err != nil {
		t.Fatal(err)
	}
	var m manifest.Manifest
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	var c Config
	options := json.NewDecoder(bytes.NewReader(m.Options))
	options.DisallowUnknownFields()
	if err := options.Decode(&c); err != nil || c.Hash() != rows[0].Hash {
		t.Errorf("the options are not the row's configuration (%v): %s", err, m.Options)
	}
	hash, changed := manifest.Revision()
	if m.Config != rows[0].Hash || m.Revision != hash || m.Changed != changed || m.Date == "" || m.Command == "" ||
		m.Versions["go"] == "" || m.Hardware == "" || m.Backend != "go" {
		t.Errorf("manifest %s", text)
	}
}
