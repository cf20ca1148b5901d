package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"

	"stuffed/pkg/checkpoint"
	"stuffed/pkg/lm"
	"stuffed/pkg/models"
)

// snapshotVersion changes with the layout of a snapshot.
const snapshotVersion = 1

// snapshotInfo is training.json of a snapshot. The data and every random number are functions of the seeds and the step,
// so the step is the cursor of both.
type snapshotInfo struct {
	Version    int    `json:"version"`
	Step       int64  `json:"step"`
	Stage      int    `json:"stage"`
	Cursor     int64  `json:"cursor"` // batches read in this stage
	ConfigHash string `json:"config_hash"`
	Config     Config `json:"config"`
}

func (c Config) snapshotRoot() string { return filepath.Join(c.Output, "snapshots") }

// Save writes a snapshot, complete or not at all, and removes old ones as configured.
func (t *Trainer) Save() error {
	if t.Config.Output == "" {
		return nil
	}
	root := t.Config.snapshotRoot()
	err := t.SaveTo(root, nil)
	if err != nil {
		return fmt.Errorf("%w; make room or choose another output, then continue with --resume", err)
	}
	if t.Config.Snapshots.Keep > 0 {
		_, err = checkpoint.Prune(root, t.Config.Snapshots.Keep, t.Config.Snapshots.Ladder)
	}
	return err
}

// SaveTo writes a snapshot into the folder root; beside, where it is given, adds files to it.
func (t *Trainer) SaveTo(root string, beside func(dir string) error) error {
	return checkpoint.SaveSnapshot(root, t.step, func(dir string) error {
		if err := t.write(dir); err != nil || beside == nil {
			return err
		}
		return beside(dir)
	})
}

func (t *Trainer) write(dir string) error {
	if err := t.gather(); err != nil {
		return err
	}
	_, names := t.program.shapes()
	file := map[string]*checkpoint.Tensor{}
	for i, name := range names {
		saved, err := checkpoint.FromDevice(t.carry[i])
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		file[name] = saved
	}
	if err := checkpoint.WriteSafetensors(filepath.Join(dir, "memory.safetensors"), file, nil); err != nil {
		return err
	}
	info := snapshotInfo{snapshotVersion, t.step, t.stage, t.step - t.feed.from, t.Config.Hash(), t.Config}
	text, err := json.MarshalIndent(info, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "training.json"), append(text, '\n'), 0o644)
}

// Resume continues from the newest valid snapshot in the output folder; damaged ones are skipped and named. Without
// any snapshot it returns checkpoint.ErrNoSnapshot and the trainer starts from the beginning.
func (t *Trainer) Resume() error {
	_, err := t.ResumeFrom(t.Config.snapshotRoot())
	return err
}

// ResumeFrom is Resume from the folder root of snapshots; dir is that of the snapshot.
func (t *Trainer) ResumeFrom(root string) (dir string, err error) {
	dir, _, skipped, err := checkpoint.LatestSnapshot(root)
	for _, s := range skipped {
		t.say("snapshot passed over: %s", s)
	}
	if err != nil {
		return "", err
	}
	return dir, t.resume(dir)
}

func (t *Trainer) resume(dir string) error {
	info, file, err := readSnapshot(dir)
	if err != nil {
		return err
	}
	if info.ConfigHash != t.Config.Hash() {
		return fmt.Errorf("%s was made with another configuration: %s; use those values, another output folder, or init=%s to start a new run from its weights",
			dir, differences(info.Config, t.Config), dir)
	}
	t.step = info.Step
	if err := t.advance(); err != nil {
		return err
	}
	all, names := t.program.whole().shapes()
	t.shards = nil
	for i, name := range names {
		saved, err := file.Tensor(name)
		if err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
		if t.carry[i], err = saved.ToDevice(all[i]); err != nil {
			return fmt.Errorf("%s: %s: %w", dir, name, err)
		}
	}
	t.say("resuming after step %d", t.step)
	return nil
}

func readSnapshot(dir string) (info snapshotInfo, file *checkpoint.File, err error) {
	text, err := os.ReadFile(filepath.Join(dir, "training.json"))
	if err != nil {
		return info, nil, fmt.Errorf("snapshot: %w", err)
	}
	if err := json.Unmarshal(text, &info); err != nil {
		return info, nil, fmt.Errorf("%s: training.json: %w", dir, err)
	}
	if info.Version != snapshotVersion {
		return info, nil, fmt.Errorf("%s: snapshot version %d, this program reads version %d; export its weights with the program that wrote it", dir, info.Version, snapshotVersion)
	}
	file, err = checkpoint.ReadSafetensors(filepath.Join(dir, "memory.safetensors"))
	return info, file, err
}

// differences names the fields whose values differ, as field = old (new).
func differences(old, now Config) string {
	a, b := flatten(old), flatten(now)
	var list []string
	for k, v := range a {
		if b[k] != v {
			list = append(list, fmt.Sprintf("%s = %s (now %s)", k, v, b[k]))
		}
	}
	for k, v := range b {
		if _, ok := a[k]; !ok {
			list = append(list, fmt.Sprintf("%s absent (now %s)", k, v))
		}
	}
	sort.Strings(list)
	return strings.Join(list, ", ")
}

// flatten lists the fields that Hash covers, as JSON by path.
func flatten(c Config) map[string]string {
	text, err := json.Marshal(c.essence())
	if err != nil {
		return nil
	}
	var tree map[string]any
	if err := json.Unmarshal(text, &tree); err != nil {
		return nil
	}
	out := map[string]string{}
	var walk func(prefix string, v any)
	walk = func(prefix string, v any) {
		if m, ok := v.(map[string]any); ok {
			for k, x := range m {
				walk(strings.TrimPrefix(prefix+"."+k, "."), x)
			}
			return
		}
		text, err := json.Marshal(v)
		if err != nil {
			return
		}
		out[prefix] = string(text)
	}
	walk("", tree)
	return out
}

// startWeights draws weights by seed, or reads config.init: a model folder, which starts every member, or a snapshot,
// whose members start those of the same place (or all, if it has one).
func startWeights(m lm.Model, c Config) (*lm.Weights, error) {
	members := c.Members()
	if c.Init == "" {
		seeds := make([]uint64, len(members))
		for i, r := range members {
			seeds[i] = uint64(r.Seed)
		}
		return lm.InitialWeights(m, seeds...)
	}
	if _, err := os.Stat(filepath.Join(c.Init, "memory.safetensors")); err == nil {
		old, info, err := snapshotWeights(c.Init)
		if err != nil {
			return nil, fmt.Errorf("init: %w", err)
		}
		if old.Members != 1 && old.Members != len(members) {
			return nil, fmt.Errorf("init: %s holds %d members, this run has %d", c.Init, old.Members, len(members))
		}
		if !info.Config.Model.Same(c.Model) {
			return nil, fmt.Errorf("init: %s has another model: %s", c.Init, differences(Config{Model: info.Config.Model}, Config{Model: c.Model}))
		}
		return repeat(m, old, len(members))
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("init: %w", err)
	}
	have, old, err := models.Load(c.Init, dtypes.Float32)
	if err != nil {
		return nil, fmt.Errorf("init: %w", err)
	}
	for _, s := range m.Parameters(1) {
		for _, h := range have.Parameters(1) {
			if h.Name == s.Name && fmt.Sprint(h.Dims) != fmt.Sprint(s.Dims) {
				return nil, fmt.Errorf("init: %s of %s has shape %v, this model's is %v", s.Name, c.Init, h.Dims, s.Dims)
			}
		}
	}
	return repeat(m, old, len(members))
}

// repeat gives every member its weights, or those of the only model.
func repeat(m lm.Model, old *lm.Weights, members int) (*lm.Weights, error) {
	values := make([]map[string][]float32, old.Members)
	for r := range values {
		v, err := old.Member(r)
		if err != nil {
			return nil, err
		}
		values[r] = v
	}
	return lm.NewWeights(m, members, func(r int, s lm.Spec) ([]float32, error) {
		v, ok := values[r%len(values)][s.Name]
		if !ok {
			return nil, fmt.Errorf("init: parameter %s is missing", s.Name)
		}
		return v, nil
	})
}

// snapshotWeights reads the weights of all members of a snapshot folder.
func snapshotWeights(dir string) (w *lm.Weights, info snapshotInfo, err error) {
	if err := checkpoint.VerifySnapshot(dir); err != nil {
		return nil, info, fmt.Errorf("%s: %w", dir, err)
	}
	info, file, err := readSnapshot(dir)
	if err != nil {
		return nil, info, err
	}
	m, err := info.Config.Model.New()
	if err != nil {
		return nil, info, fmt.Errorf("%s: %w", dir, err)
	}
	n := len(info.Config.Members())
	w = &lm.Weights{Model: m, Members: n, Specs: m.Parameters(n)}
	for _, s := range w.Specs {
		saved, err := file.Tensor("param/" + s.Name)
		if err != nil {
			return nil, info, fmt.Errorf("%s: %w", dir, err)
		}
		v, err := saved.ToDevice(shapes.Make(dtypes.Float32, s.Dims...))
		if err != nil {
			return nil, info, fmt.Errorf("%s: %s: %w", dir, s.Name, err)
		}
		w.Values = append(w.Values, v)
	}
	return w, info, nil
}
