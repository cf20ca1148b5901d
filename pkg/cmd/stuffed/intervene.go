package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"stuffed/pkg/intervene"
	"stuffed/pkg/notebook"
	"stuffed/pkg/table"
)

func init() { commands = append(commands, interveneCommand) }

func interveneCommand() *cobra.Command {
	var s suiteFlags
	var d intervene.Dose
	var own ownText
	var plan, heads, output string
	var causes int
	c := &cobra.Command{
		Use:   "intervene --model DIR (--plan P.json | --kind K --doses D,… --heads H | --causes N | --patch TEXT --heads H --input TEXT) --output I.parquet",
		Short: "Change chosen heads of a model and see what it does to loss and states",
		Long: `Three ways: a plan (a JSON list of interventions) against the model as it is; a dose–response run of one kind in chosen heads, with
random sets of as many other heads as control; or --causes N, what causes a failure beyond T: from T on Δ, B or x held at their
in-window means, B or x at their in-window mean norms, and in all positions, for the N heads of the largest retention over T, A or
dt_bias exchanged with the heads of the smallest, ablation, and ablation of as many random others. Loss and recall are those of the recall stream, in the half window before each
multiple of T; norm_ratio is the largest growth of a head's state over its in-window maximum, retention the largest
exp(T · mean log α). An interrupted run continues where it stopped.

With --input, a plan, one kind or --patch acts on your own text in the model's own tokens: the table has the loss of the model as it
is and changed, token by token. --patch reads one token at a time: set --length.

A plan:  [{"kind": "alpha_clamp", "heads": [{"layer": 0, "head": 3}], "high": 0.98, "from": 64}, {"kind": "b_scale", "layers": [1], "value": 0.8}]

Kinds (of a dose–response run: those with one value, alpha_clamp_high and alpha_clamp_low):
  ` + strings.Join(intervene.Kinds(), "\n  ") + `

Columns of a dose–response run:
` + table.Help[intervene.Response]() + `

Columns of a plan and of --causes:
` + table.Help[intervene.Result](),
		Example: `  stuffed intervene --model datasets/models/recall-n128-t64 --plan plan.json --output out/plan.csv
  stuffed intervene --model out/s0 --kind alpha_clamp_high --doses 0.9,0.95,0.99,0.999,1 --heads top:2 --random 3 --output out/dose.parquet
  stuffed intervene --model out/my-model --kind ablate --heads 1.3 --input notes.txt --output out/ablated.csv
  stuffed intervene --model out/my-model --patch other.txt --heads 1.3,1.5 --input notes.txt --length 512 --output out/patched.csv
  stuffed intervene --model out/s0 --model out/s1 --causes 1 --output out/causes.csv`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if own.texts.Corpus != "" {
				p, named, err := own.plan(plan, d, heads)
				if err != nil {
					return err
				}
				return own.run(c.Context(), s, p, named, output)
			}
			if own.patch != "" {
				return errors.New("--patch: give the text that is patched with --input")
			}
			return runIntervene(c.Context(), s, d, plan, heads, causes, output)
		},
	}
	f := c.Flags()
	s.add(f)
	own.add(f)
	f.StringVar(&plan, "plan", "", "JSON file with a list of interventions")
	f.StringVar(&d.Kind, "kind", "", "dose–response: kind of intervention")
	f.Float64SliceVar(&d.Doses, "doses", nil, "dose–response: values")
	f.StringVar(&heads, "heads", "top:1", "dose–response: layer.head,… or top:N, the N heads of the largest retention over T")
	f.IntVar(&d.Random, "random", 3, "dose–response: random sets of as many other heads")
	f.IntVar(&d.From, "from", 0, "dose–response: first position that is changed")
	f.Uint64Var(&d.Seed, "draw-seed", 0, "dose–response: seed of the random sets")
	f.IntVar(&causes, "causes", 0, "what causes a failure: number of heads to exchange and ablate")
	f.StringVar(&output, "output", "", "table to write (.parquet or .csv)")
	for _, name := range []string{"model", "output"} {
		cobra.CheckErr(c.MarkFlagRequired(name))
	}
	c.MarkFlagsOneRequired("plan", "kind", "causes", "patch")
	c.MarkFlagsMutuallyExclusive("plan", "kind", "causes", "patch")
	return c
}

func runIntervene(ctx context.Context, s suiteFlags, d intervene.Dose, plan, heads string, causes int, output string) error {
	chosen, top, err := intervene.ParseHeads(heads)
	if err != nil {
		return err
	}
	d.Heads = chosen
	var p intervene.Plan
	var inputs []string
	if plan != "" {
		if p, err = intervene.ReadPlan(plan); err != nil {
			return err
		}
		inputs = append(inputs, plan)
	} else if d.Kind != "" && len(d.Doses) == 0 {
		return fmt.Errorf("--doses: give one value or more")
	}
	all, err := intervene.Open(s.dirs, s.backend, s.piece)
	if err != nil {
		return err
	}
	for _, m := range all {
		if err := s.suite.Validate(m.Model.Vocab()); err != nil {
			return err
		}
		if err := p.Validate(m.Model); err != nil {
			return fmt.Errorf("%s: %w", plan, err)
		}
		if causes < 0 || d.Kind == "" && plan == "" && causes < 1 || causes > m.Model.Layers()*m.Model.Configuration().Sizes().Heads {
			return fmt.Errorf("--causes is %d heads, want 1 … %d", causes, m.Model.Layers()*m.Model.Configuration().Sizes().Heads)
		}
		if d.Kind != "" {
			check := d
			if top > 0 { // chosen later: any head tells whether kind and doses will do
				check.Heads = []intervene.Head{{}}
			}
			if _, err := check.Steps(m.Bench); err != nil {
				return fmt.Errorf("%s: %w", m.Name, err)
			}
		}
	}
	note, err := s.note(all, output, []any{d, heads, causes}, inputs...)
	if err != nil {
		return err
	}
	progress := notebook.NewProgress("intervene", 0, "runs")
	report := func(done, total int) { progress.Of(int64(done), int64(total)) }
	switch {
	case plan != "":
		err = intervene.WritePlan(ctx, all, s.suite, p, output, report)
	case d.Kind != "":
		err = d.Write(ctx, all, s.suite, top, output, report)
	default:
		of := func(m intervene.Named) ([]intervene.Method, error) {
			return intervene.Causes(ctx, m.Bench, s.suite, causes, d.Seed)
		}
		err = intervene.WriteMethods(ctx, all, s.suite, of, output, report)
	}
	if err != nil {
		return err
	}
	progress.Done()
	return note.Finish(output)
}
