package study

import (
	"stuffed/pkg/eval"
	"stuffed/pkg/table"
	"stuffed/pkg/train"
)

// Member identifies the member of a row's ensemble that a line belongs to. Every table of a row starts with these columns.
type Member struct {
	Replica int     `parquet:"replica" doc:"number of the member, from 0"`
	Policy  string  `parquet:"policy" doc:"initial states in training"`
	LR      float64 `parquet:"lr" doc:"largest learning rate"`
	Seed    int64   `parquet:"seed" doc:"seed of weights and data"`
}

func memberOf(i int, m train.Member) Member { return Member{i, m.Policy, m.LR, m.Seed} }

// TrainingRow is a line of the table training.
type TrainingRow struct {
	Member
	Tokens int64   `parquet:"tokens" doc:"tokens that the member has read"`
	Loss   float64 `parquet:"loss" doc:"nats per token, mean over a fiftieth of the run"`
}

// LossRow is a line of the table loss, measured during training and at its end.
type LossRow struct {
	Member
	Tokens int64 `parquet:"tokens" doc:"tokens of training of each member"`
	eval.RecallBucket
}

// AgeRow is a line of the table age, measured at the end of training.
type AgeRow struct {
	Member
	eval.AgeBucket
}

// OutcomeRow is a line of the table outcome, one per measured moment of training. The verdicts are those of package collapse on the states
// and losses of the traced sequences at the end of training.
type OutcomeRow struct {
	Member
	Tokens           int64   `parquet:"tokens" doc:"tokens of training of each member"`
	Inside           float64 `parquet:"inside" doc:"loss over ½T … T"`
	Far              float64 `parquet:"far" doc:"loss over the last half of the sequences"`
	Ratio            float64 `parquet:"ratio" doc:"far over inside"`
	Peak             float64 `parquet:"peak" doc:"largest mean of a bucket beyond T"`
	InsideAccuracy   float64 `parquet:"inside_accuracy" doc:"accuracy over ½T … T"`
	FarAccuracy      float64 `parquet:"far_accuracy" doc:"accuracy over the last half of the sequences"`
	Fails            int64   `parquet:"fails" doc:"1 if far is above twice inside, otherwise 0"`
	Explosion        int64   `parquet:"explosion" doc:"verdict on the states: 1 or 0; -1: not judged"`
	Paper            int64   `parquet:"paper" doc:"verdict on the loss by the paper's rule: 1 or 0; -1: not judged"`
	Strict           int64   `parquet:"strict" doc:"verdict on the loss by the strict rule: 1 or 0; -1: not judged"`
	ExplosionOnset   float64 `parquet:"explosion_onset" doc:"position in tokens where the states explode"`
	DegradationOnset float64 `parquet:"degradation_onset" doc:"position in tokens where the loss degrades"`
	First            string  `parquet:"first" doc:"what comes first: state, loss, neither or undecided"`
}

// HeadRow is a line of the table heads.
type HeadRow struct {
	Member
	Layer           int     `parquet:"layer" doc:"layer, from 0"`
	Head            int     `parquet:"head" doc:"head, from 0"`
	RetentionWindow float64 `parquet:"retention_window" doc:"share of a token left after T tokens, within the window"`
	Retention512    float64 `parquet:"retention_512" doc:"share of a token left after 512 tokens, beyond the window"`
	Ratio           float64 `parquet:"ratio" doc:"largest norm beyond T over the largest within"`
	Onset           float64 `parquet:"onset" doc:"position in tokens from which on the head counts as exploding"`
}

// StateRow is a line of the table state: means over sequences.
type StateRow struct {
	Member
	Position int     `parquet:"position" doc:"tokens read"`
	Layer    int     `parquet:"layer" doc:"layer, from 0"`
	Head     int     `parquet:"head" doc:"head, from 0"`
	Norm     float64 `parquet:"norm" doc:"Frobenius norm of the head's state"`
	Variance float64 `parquet:"variance" doc:"variance of its entries"`
	AbsMax   float64 `parquet:"absmax" doc:"largest magnitude of an entry"`
}

// PromptLossRow, PromptHeadRow and PromptStateRow are lines of the tables of prompts: prompt_loss, prompt_heads and prompt_state.
type PromptLossRow struct {
	Kind string `parquet:"kind" doc:"kind of prompt"`
	Member
	Sequence int     `parquet:"sequence" doc:"number of the sequence, from 0"`
	Position int     `parquet:"position" doc:"first position of the bucket, in tokens"`
	End      int     `parquet:"end" doc:"position after the bucket"`
	Loss     float64 `parquet:"loss" doc:"nats per token"`
	Accuracy float64 `parquet:"accuracy" doc:"share of the tokens that were the likeliest"`
}

// PromptHeadRow is a HeadRow of one kind of prompt.
type PromptHeadRow struct {
	Kind string `parquet:"kind" doc:"kind of prompt"`
	HeadRow
}

// PromptStateRow is a StateRow of one kind of prompt.
type PromptStateRow struct {
	Kind string `parquet:"kind" doc:"kind of prompt"`
	StateRow
}

// ScoreRow is a line of the table score, for rows trained on tasks.
type ScoreRow struct {
	Member
	Tokens   int64   `parquet:"tokens" doc:"tokens of training of each member"`
	Accuracy float64 `parquet:"accuracy" doc:"share of the answers that were the likeliest token"`
	Exact    float64 `parquet:"exact" doc:"share of the sequences whose answers were all right"`
	Loss     float64 `parquet:"loss" doc:"nats per answer"`
}

// Columns lists the columns of all row tables, for a command's help text.
func Columns() string {
	out := ""
	for _, t := range []struct{ name, help string }{
		{"training", table.Help[TrainingRow]()}, {"loss", table.Help[LossRow]()}, {"age, of recall streams", table.Help[AgeRow]()},
		{"outcome", table.Help[OutcomeRow]()}, {"heads", table.Help[HeadRow]()}, {"state", table.Help[StateRow]()},
		{"prompt_loss", table.Help[PromptLossRow]()}, {"prompt_heads", table.Help[PromptHeadRow]()}, {"prompt_state", table.Help[PromptStateRow]()},
		{"score, of tasks", table.Help[ScoreRow]()},
	} {
		out += "\n" + t.name + ":\n" + t.help + "\n"
	}
	return out
}
