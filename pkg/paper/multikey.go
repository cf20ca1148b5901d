package paper

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"stuffed/pkg/figure"
	"stuffed/pkg/report"
	"stuffed/pkg/table"
)

func init() { Figures["14_multikey"] = multikeyFigure }

// MultikeyCommand writes the table of multi-key recall under every mitigation.
const MultikeyCommand = "stuffed task run --model datasets/models/recall-n128-t64 --task recall-list --length 64,256 --set keys=3840 --set values=256 " +
	"--set pairs=16,64 --count 32 --choosing 4 --mitigate all --output datasets/study/mitigations/multikey.csv"

// multikeyRow is one row of that table.
type multikeyRow struct {
	Method   string  `parquet:"method" doc:"mitigation"`
	Length   int     `parquet:"length" doc:"tokens"`
	Group    string  `parquet:"group" doc:"pairs"`
	Accuracy float64 `parquet:"accuracy" doc:"share of values recalled"`
	Low      float64 `parquet:"accuracy_low" doc:"lower end of its interval"`
	High     float64 `parquet:"accuracy_high" doc:"upper end"`
}

func (r multikeyRow) asked() string { return fmt.Sprintf("%s, %d tokens", r.Group, r.Length) }

// multikey reads the table; if it is missing, the error names the command that makes it.
func multikey(root string) ([]multikeyRow, error) {
	t, err := table.Read(filepath.Join(root, "mitigations", "multikey.csv"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("mitigations/multikey.csv is not there; %s makes it: %w", MultikeyCommand, errNothing)
	}
	if err != nil {
		return nil, err
	}
	return table.Rows[multikeyRow](t)
}

// multikeyPoint is one kind of list under one mitigation.
type multikeyPoint struct {
	Method   string  `parquet:"method" doc:"mitigation"`
	Asked    string  `parquet:"asked" doc:"pairs and tokens of the lists"`
	Accuracy float64 `parquet:"accuracy" doc:"share of values recalled"`
	band
}

// multikeyFigure draws the recall of lists of pairs under every mitigation.
func multikeyFigure(root string) (report.Figure, error) {
	rows, err := multikey(root)
	if err != nil {
		return report.Figure{}, err
	}
	var points []multikeyPoint
	for _, r := range rows {
		points = append(points, multikeyPoint{methodTitle(r.Method), r.asked(), r.Accuracy, band{r.Low, r.High}})
	}
	return report.Figure{Spec: figure.Dots{
		Size:     figure.Size{Width: "double", Note: "One model, N 128, trained on 64 tokens; 32 lists each, 95 % intervals. Parameters chosen on other lists"},
		Category: "method", X: figure.Axis{Column: "accuracy", Label: "Recalled", Unit: "share"}, Lo: "low", Hi: "high", Series: []string{"asked"},
		Marks: []figure.Mark{{At: 1.0 / 256, Label: "chance"}},
	}, Table: table.Of(points)}, nil
}

// MultikeyReport says which mitigations help or harm the recall of several keys, judged by intervals that do not overlap that of
// the unmodified model. If the table is missing, it names the command that makes it.
func MultikeyReport(root string) (string, error) {
	rows, err := multikey(root)
	if errors.Is(err, errNothing) {
		return "**Not there**: " + strings.TrimSuffix(err.Error(), ": "+errNothing.Error()) + ".\n", nil
	}
	if err != nil {
		return "", err
	}
	plain := map[string]multikeyRow{}
	var order []string
	for _, r := range rows {
		if r.Method == "none" {
			plain[r.asked()], order = r, append(order, r.asked())
		}
	}
	var text strings.Builder
	for _, asked := range order {
		none := plain[asked]
		var helps, harms []string
		tried := 0
		for _, r := range rows {
			if r.asked() != asked || r.Method == "none" {
				continue
			}
			tried++
			said := fmt.Sprintf("%s %.3f", methodTitle(r.Method), r.Accuracy)
			switch {
			case r.Low > none.High:
				helps = append(helps, said)
			case r.High < none.Low:
				harms = append(harms, said)
			}
		}
		words := func(names []string) string {
			if len(names) == 0 {
				return "none"
			}
			return strings.Join(names, ", ")
		}
		fmt.Fprintf(&text, "**%s**: %.3f as it is. Of %d mitigations, those that help: %s; those that harm: %s.\n\n", asked, none.Accuracy, tried, words(helps), words(harms))
	}
	return text.String(), nil
}
