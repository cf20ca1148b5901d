package prompt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"stuffed/pkg/plaintext"
)

// ReadIDs reads sequences of token ids from JSON lines: an array of ids, or an object with ids and perhaps a name, such as
// a task.Record or a Probe. Sequences without a name are called by their line.
func ReadIDs(path string) ([]Probe, error) {
	data, err := plaintext.Read(path)
	if err != nil {
		return nil, fmt.Errorf("token ids: %w", err)
	}
	var all []Probe
	lines := json.NewDecoder(bytes.NewReader(data))
	for n := 1; ; n++ {
		var raw json.RawMessage
		if err := lines.Decode(&raw); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("token ids: %s, sequence %d: %w", filepath.Base(path), n, err)
		}
		p := Probe{Kind: "tokens"}
		if raw[0] == '[' {
			err = json.Unmarshal(raw, &p.IDs)
		} else {
			err = json.Unmarshal(raw, &p)
		}
		if err != nil {
			return nil, fmt.Errorf("token ids: %s, sequence %d: %w", filepath.Base(path), n, err)
		}
		if len(p.IDs) == 0 {
			return nil, fmt.Errorf("token ids: %s, sequence %d: no ids; a line is [1, 2, …] or {\"ids\": [1, 2, …]}", filepath.Base(path), n)
		}
		if p.Name == "" {
			p.Name = fmt.Sprint("line ", n)
		}
		all = append(all, p)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("token ids: %s is empty", filepath.Base(path))
	}
	return all, nil
}
