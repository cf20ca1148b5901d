package paper

import (
	"cmp"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"stuffed/pkg/figure"
	"stuffed/pkg/report"
	"stuffed/pkg/table"
)

func init() { Figures["21_equal"] = equalFigure }

// equalModel is a recurrent model beside a transformer whose window takes as many bytes: losses far from the start, nats per
// token.
type equalModel struct {
	name             string
	bytes, window    int64
	own, beside      float64
	ownEnds, itsEnds band // 95 % intervals
}

// equalMemory reads the table of stuffed memory equal: the recurrent models, best first, and the transformer's loss with its
// whole cache.
func equalMemory(root string) (all []equalModel, whole float64, err error) {
	t, err := table.Read(filepath.Join(root, "memory", "equal.csv"))
	if err != nil {
		return nil, 0, err
	}
	type row struct {
		Memory string  `parquet:"memory" doc:"own, window or whole"`
		Like   string  `parquet:"like" doc:"the recurrent model"`
		Window int64   `parquet:"window" doc:"tokens"`
		Bytes  int64   `parquet:"bytes" doc:"of memory"`
		Far    float64 `parquet:"far" doc:"loss far from the start"`
		Low    float64 `parquet:"far_low" doc:"lower end of its interval"`
		High   float64 `parquet:"far_high" doc:"upper end"`
	}
	rows, err := table.Rows[row](t)
	if err != nil {
		return nil, 0, err
	}
	whole = math.NaN()
	for _, r := range rows {
		at := slices.IndexFunc(all, func(m equalModel) bool { return m.name == r.Like })
		switch {
		case r.Memory == "whole":
			whole = r.Far
		case r.Memory == "own":
			all = append(all, equalModel{name: r.Like, bytes: r.Bytes, own: r.Far, ownEnds: band{r.Low, r.High}})
		case at < 0:
			return nil, 0, fmt.Errorf("equal memory: the window of %s comes before the row of that model", r.Like)
		default:
			all[at].window, all[at].beside, all[at].itsEnds = r.Window, r.Far, band{r.Low, r.High}
		}
	}
	slices.SortStableFunc(all, func(a, b equalModel) int { return cmp.Compare(a.own, b.own) })
	return all, whole, nil
}

// equalNames spells the names that architectureName leaves unchanged.
var equalNames = strings.NewReplacer("kda", "KDA", "hgrn2", "HGRN-2", "retnet", "RetNet", "rwkv", "RWKV-")

func (m equalModel) title() string {
	return equalNames.Replace(architectureName(strings.TrimPrefix(m.name, "bytes-")))
}

// equalPoint is a recurrent model, or the transformer with the same number of bytes of memory.
type equalPoint struct {
	Model string  `parquet:"model" doc:"the recurrent model and its memory"`
	Of    string  `parquet:"of" doc:"whose loss: the model's or the transformer's"`
	Loss  float64 `parquet:"loss" doc:"loss far from the start, nats"`
	band
}

// equalFigure draws the loss of recurrent models and of a transformer with as much memory, on documents, far from their start.
func equalFigure(root string) (report.Figure, error) {
	all, whole, err := equalMemory(root)
	if err != nil {
		return report.Figure{}, err
	}
	var points []equalPoint
	for _, m := range all {
		name := fmt.Sprintf("%s, %.3g KiB", m.title(), float64(m.bytes)/1024)
		points = append(points, equalPoint{name, "recurrent model", m.own, m.ownEnds}, equalPoint{name, "transformer, same bytes", m.beside, m.itsEnds})
	}
	return report.Figure{Spec: figure.Dots{
		Size:     figure.Size{Width: "double", Note: "Models of bytes of equal width, trained on 123K bytes each; 95 % intervals over 16 documents. KiB: memory"},
		Category: "model", X: figure.Axis{Column: "loss", Label: "Loss at tokens 512 … 1,023", Unit: "nat"}, Lo: "low", Hi: "high", Series: []string{"of"},
		Marks: []figure.Mark{{At: whole, Label: "transformer, whole cache"}},
	}, Table: table.Of(points)}, nil
}

// EqualReport says which recurrent models beat the transformer with as many bytes, and whether the transformer uses its cache at
// all; only then does the comparison say anything about memory.
func EqualReport(root string) (string, error) {
	all, whole, err := equalMemory(root)
	if err != nil {
		return "", err
	}
	var better, worse, level []string
	widest, narrowest := all[0], all[0]
	for _, m := range all {
		said := fmt.Sprintf("%s %+.2f", m.title(), m.own-m.beside)
		switch {
		case m.ownEnds.High < m.itsEnds.Low:
			better = append(better, said)
		case m.ownEnds.Low > m.itsEnds.High:
			worse = append(worse, said)
		default:
			level = append(level, said)
		}
		if m.window > widest.window {
			widest = m
		}
		if m.window < narrowest.window {
			narrowest = m
		}
	}
	none := func(names []string) string {
		if len(names) == 0 {
			return "none"
		}
		return strings.Join(names, ", ")
	}
	text := fmt.Sprintf("**Beside a transformer's window of as many bytes** (loss less the transformer's, nats): better, intervals apart: %s; worse: %s; not told apart: %s.\n\n",
		none(better), none(worse), none(level))
	gain := narrowest.beside - whole
	text += fmt.Sprintf("**Does the transformer use its memory?** With %d tokens it loses %.2f nat, with %d %.2f, with its whole cache %.2f: the cache is worth %+.2f nat. ",
		narrowest.window, narrowest.beside, widest.window, widest.beside, whole, gain)
	if gain < 0.1 {
		return text + "It hardly uses any context, so that what is compared here is what the models learned from 123K bytes, not what their memories hold: the question of equal memory is **open**.\n", nil
	}
	return text + "It uses its context, so that the windows weigh memories against each other.\n", nil
}
