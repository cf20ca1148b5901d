package study

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"stuffed/pkg/atomic"
	"stuffed/pkg/lm"
	"stuffed/pkg/train"
)

// Reading says what trained models of text read: kinds of prompt, made of their own corpus, and the length of a sequence in tokens.
type Reading struct {
	Prompts PromptConfig `json:"prompts"`
	Length  int          `json:"length"`
}

// ReadRow is a sequence as one model reads it. Inside and far are those of datasets/study/text-law/RULES.md.
type ReadRow struct {
	Model       string  `parquet:"model" doc:"name of the model's folder"`
	Seed        int64   `parquet:"seed" doc:"seed of its training"`
	TrainLength int     `parquet:"train_length" doc:"training length T, tokens"`
	Weights     string  `parquet:"weights" doc:"first twelve digits of the SHA-256 of its weights"`
	Kind        string  `parquet:"kind" doc:"kind of prompt"`
	Sequence    int     `parquet:"sequence" doc:"number of the sequence"`
	Inside      float64 `parquet:"inside" doc:"mean loss over tokens ½T … T, nats"`
	Far         float64 `parquet:"far" doc:"mean loss over the second half of the sequence, nats"`
}

// trainedAs is what training.json says.
type trainedAs struct {
	Config  train.Config `json:"config"`
	Replica train.Member `json:"replica"`
}

// Read returns the losses of the model in dir, which the runner holds. The folder needs its training.json.
func (r Reading) Read(ctx context.Context, dir string, runner *lm.Runner) (out []ReadRow, err error) {
	t, err := trainingOf(dir)
	if err != nil {
		return nil, err
	}
	T := t.Config.TrainLength
	if T < 4 || r.Length < 4*T {
		return nil, fmt.Errorf("%s: %d tokens of a sequence are too few for a training length of %d; want at least four times as many", dir, r.Length, T)
	}
	weights, err := weightsOf(dir)
	if err != nil {
		return nil, err
	}
	prompts, err := r.prompts(t.Config.Data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	for _, kind := range r.Prompts.Kinds {
		rows := prompts[kind]
		inside, far := make([]float64, len(rows)), make([]float64, len(rows))
		_, err := runner.Run(ctx, rows, nil, lm.Request{Loss: true}, func(p lm.Piece) error {
			for i := range rows {
				for k := range p.Tokens {
					loss := float64(p.Loss[i*p.Tokens+k])
					switch at := p.Start + k; {
					case at >= T/2 && at < T:
						inside[i] += loss / float64(T-T/2)
					case at >= r.Length/2 && at < r.Length-1:
						far[i] += loss / float64(r.Length-1-r.Length/2)
					}
				}
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("%s, %s: %w", dir, kind, err)
		}
		for i := range rows {
			out = append(out, ReadRow{filepath.Base(dir), t.Replica.Seed, T, weights, kind, i, inside[i], far[i]})
		}
	}
	return out, nil
}

// prompts makes the sequences of every kind from the corpus that a model was trained on.
func (r Reading) prompts(d train.DataConfig) (map[string][][]int32, error) {
	data, err := train.OpenData(d)
	if err != nil {
		return nil, err
	}
	defer data.Close()
	splits, has := data.(train.Splits)
	if !has {
		return nil, fmt.Errorf("%s has no documents of split %s; models of text are asked for", data.Describe(), r.Prompts.Split)
	}
	documents, err := splits.Beginnings(r.Prompts.Split, r.Prompts.Sequences, r.Length)
	if err != nil {
		return nil, err
	}
	if len(documents) < r.Prompts.Sequences {
		return nil, fmt.Errorf("split %s has %d documents of %d tokens, %d are asked for", r.Prompts.Split, len(documents), r.Length, r.Prompts.Sequences)
	}
	out := map[string][][]int32{}
	for _, kind := range r.Prompts.Kinds {
		if out[kind], err = r.Prompts.Prompts(kind, splits.Encoder(), documents, r.Length); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func trainingOf(dir string) (t trainedAs, err error) {
	text, err := os.ReadFile(filepath.Join(dir, "training.json"))
	if err == nil {
		t.Config = train.DefaultConfig()
		err = json.Unmarshal(text, &t)
	}
	if err != nil {
		return t, fmt.Errorf("how %s was trained: %w", dir, err)
	}
	return t, nil
}

func weightsOf(dir string) (string, error) {
	sum, _, err := atomic.Hash(filepath.Join(dir, "model.safetensors"))
	return sum[:min(12, len(sum))], err
}
