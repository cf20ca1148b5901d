package study

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"stuffed/pkg/atomic"
	"stuffed/pkg/manifest"
	"stuffed/pkg/table"
)

// Collect concatenates the tables of all finished rows of a plan, with the row's configuration as leading columns, and writes them as
// Parquet files to dir, with rows.parquet as the list of rows. Every row is first verified against its manifest. It returns the names of
// the tables and the rows that are missing.
func (s *Store) Collect(rows []Row, dir string) (names []string, missing []Row, err error) {
	done, err := s.done()
	if err != nil {
		return nil, nil, err
	}
	joined := Tables{}
	list := table.New()
	named := severalArchitectures(rows)
	for _, row := range rows {
		if !done[row.Hash] {
			missing = append(missing, row)
			continue
		}
		if err := s.Verify(row.Hash); err != nil {
			return nil, nil, err
		}
		files, err := filepath.Glob(filepath.Join(s.RowDir(row.Hash), "*.parquet"))
		if err != nil {
			return nil, nil, err
		}
		for _, file := range files {
			t, err := table.Read(file)
			if err != nil {
				return nil, nil, err
			}
			name := strings.TrimSuffix(filepath.Base(file), ".parquet")
			if joined[name] == nil {
				joined[name] = table.New()
			}
			if err := joined[name].Append(row.before(t, named)); err != nil {
				return nil, nil, fmt.Errorf("%s: %w", file, err)
			}
		}
		seconds, err := s.seconds(row.Hash)
		if err != nil {
			return nil, nil, err
		}
		one := row.before(table.New().AddFloat("seconds", []float64{seconds}), named)
		if err := list.Append(one); err != nil {
			return nil, nil, err
		}
	}
	if list.Rows() == 0 {
		return nil, missing, fmt.Errorf("none of the %d rows is done; run the plan first: stuffed study run PLAN --store %s", len(rows), filepath.Base(s.Dir))
	}
	joined["rows"] = list
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, nil, err
	}
	for name := range joined {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := joined[name].Write(filepath.Join(dir, name+".parquet")); err != nil {
			return nil, nil, err
		}
	}
	return names, missing, s.describe(rows, missing, names, dir)
}

// collected is the manifest of collected tables: the rows in them, how those were produced, and the tables' hashes.
type collected struct {
	Rows      []string          `json:"rows"`
	Missing   []string          `json:"missing,omitempty"`
	Made      []map[string]any  `json:"made"` // the distinct ways in which rows were produced: command, revision, backend, precision, versions
	Collected manifest.Run      `json:"collected"`
	Files     map[string]string `json:"files"`
}

func (s *Store) describe(rows, missing []Row, names []string, dir string) error {
	c := collected{Collected: manifest.ThisRun(), Files: map[string]string{}, Made: []map[string]any{}}
	gone, seen := map[string]bool{}, map[string]bool{}
	for _, r := range missing {
		gone[r.Hash], c.Missing = true, append(c.Missing, r.Hash)
	}
	for _, r := range rows {
		if gone[r.Hash] {
			continue
		}
		c.Rows = append(c.Rows, r.Hash)
		var m rowManifest
		data, err := os.ReadFile(filepath.Join(s.RowDir(r.Hash), "manifest.json"))
		if err == nil {
			err = json.Unmarshal(data, &m)
		}
		if err != nil {
			return fmt.Errorf("row %s: manifest: %w", r.Hash, err)
		}
		if way, is := m.Run.(map[string]any); is && !seen[fmt.Sprint(way)] {
			seen[fmt.Sprint(way)], c.Made = true, append(c.Made, way)
		}
	}
	for _, name := range names {
		sum, _, err := atomic.Hash(filepath.Join(dir, name+".parquet"))
		if err != nil {
			return err
		}
		c.Files[name+".parquet"] = sum
	}
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	return atomic.Bytes(filepath.Join(dir, "manifest.json"), append(data, '\n'))
}

// Models copies the saved weights of finished rows to dir, one folder per model, named after plan, N, T and member.
func (s *Store) Models(plan string, rows []Row, dir string) (names []string, err error) {
	for _, row := range rows {
		kept, err := filepath.Glob(filepath.Join(s.RowDir(row.Hash), "models", "*"))
		if err != nil {
			return nil, err
		}
		for _, from := range kept {
			name := fmt.Sprintf("%s-n%d-t%d-%s", plan, row.Config.Train.Model.Sizes().State, row.Config.Train.TrainLength, filepath.Base(from))
			files, err := os.ReadDir(from)
			if err != nil {
				return nil, err
			}
			for _, f := range files {
				data, err := os.ReadFile(filepath.Join(from, f.Name()))
				if err == nil {
					err = atomic.Bytes(filepath.Join(dir, name, f.Name()), data)
				}
				if err != nil {
					return nil, err
				}
			}
			names = append(names, name)
		}
	}
	return names, nil
}

// severalArchitectures reports whether a plan compares architectures, in which case its tables name them.
func severalArchitectures(rows []Row) bool {
	for _, r := range rows {
		if r.Config.Train.Model.Architecture() != rows[0].Config.Train.Model.Architecture() {
			return true
		}
	}
	return false
}

// rowColumns identify the row of a plan that a line belongs to.
type rowColumns struct {
	Row          string  `parquet:"row" doc:"hash of the row's configuration"`
	Group        string  `parquet:"group" doc:"parts of the plan that the row belongs to"`
	Data         string  `parquet:"data" doc:"kind of training data"`
	Architecture string  `parquet:"architecture" doc:"architecture, where a plan compares several"`
	State        int     `parquet:"state" doc:"state dimension N"`
	Heads        int     `parquet:"heads" doc:"heads of a layer"`
	Width        int     `parquet:"width" doc:"width of the model"`
	Layers       int     `parquet:"layers" doc:"number of layers"`
	TrainLength  int     `parquet:"train_length" doc:"training length, tokens"`
	Gap          int     `parquet:"gap" doc:"of the recall stream: the farthest that a pair comes back, tokens"`
	NS           float64 `parquet:"n_s" doc:"size of the recurrent state, million scalars"`
	NSCarried    float64 `parquet:"n_s_carried" doc:"the same with all that is carried, such as windows of inputs"`
}

// before prepends the row's configuration to the columns of t, including the architecture if named.
func (r Row) before(t *table.Table, named bool) *table.Table {
	c := r.Config.Train
	m := c.Model.Sizes()
	out := table.Of(slices.Repeat([]rowColumns{{r.Hash, strings.Join(r.Groups, " "), c.Data.Kind, c.Model.Architecture(), m.State, m.Heads, m.Width, m.Layers,
		c.TrainLength, c.Data.Gap, float64(m.Recurrent) / 1e6, float64(m.Carried) / 1e6}}, t.Rows()))
	if !named {
		out = out.Without("architecture")
	}
	for k, v := range t.Meta {
		out.Meta[k] = v
	}
	return out.Beside(t)
}
