package hub

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"stuffed/pkg/numeral"
)

// Published is a model on the hub as its authors describe it.
type Published struct {
	Name         string
	Architecture string
	Size         string // as in its name
	State        int    // scalars of recurrent state of one sequence, without convolution and token shift; 0 where it grows or is not known
	TrainLength  int    // tokens; 0 where the authors do not say
	Licence      string // as the model's card says; empty where it says nothing
	Source       string // of what its card and config.json do not say
}

// Known are models of the architectures that the paper names or that it is compared with. A model that is not among them is opened by
// its name all the same. Sizes of the state follow from the configurations; licences are those of the models' cards.
var Known = []Published{
	{"state-spaces/mamba2-130m", "Mamba-2", "130M", 24 * 1536 * 128, 2048, "Apache-2.0", trainedOn2048},
	{"state-spaces/mamba2-370m", "Mamba-2", "370M", 48 * 2048 * 128, 2048, "Apache-2.0", trainedOn2048},
	{"state-spaces/mamba2-780m", "Mamba-2", "780M", 48 * 3072 * 128, 2048, "Apache-2.0", trainedOn2048},
	{"state-spaces/mamba2-1.3b", "Mamba-2", "1.3B", 48 * 4096 * 128, 2048, "Apache-2.0", trainedOn2048},
	{"state-spaces/mamba2-2.7b", "Mamba-2", "2.7B", 64 * 5120 * 128, 2048, "Apache-2.0", trainedOn2048},
	{"mistralai/Mamba-Codestral-7B-v0.1", "Mamba-2, 8 groups", "7B", 64 * 8192 * 128, 0, "Apache-2.0", ""},
	{"state-spaces/mamba-130m", "Mamba-1", "130M", 24 * 1536 * 16, 2048, "Apache-2.0", trainedOn2048},
	{"state-spaces/mamba-370m", "Mamba-1", "370M", 48 * 2048 * 16, 2048, "Apache-2.0", trainedOn2048},
	{"state-spaces/mamba-790m", "Mamba-1", "790M", 48 * 3072 * 16, 2048, "Apache-2.0", trainedOn2048},
	{"state-spaces/mamba-1.4b", "Mamba-1", "1.4B", 48 * 4096 * 16, 2048, "Apache-2.0", trainedOn2048},
	{"state-spaces/mamba-2.8b", "Mamba-1", "2.8B", 64 * 5120 * 16, 2048, "Apache-2.0", trainedOn2048},
	{"RWKV/rwkv-4-169m-pile", "RWKV-4", "169M", 12 * 768 * 2, 1024, "", "ctx_len of BlinkDL/rwkv-4-pile-169m, whose licence is Apache-2.0"},
	{"fla-hub/rwkv7-0.4B-world", "RWKV-7", "0.4B", 24 * 1024 * 64, 0, "Apache-2.0", ""},
	{"fla-hub/gla-1.3B-100B", "GLA", "1.3B", 0, 0, "MIT", ""},
	{"fla-hub/hgrn2-1.3B-100B", "HGRN-2", "1.3B", 0, 0, "MIT", ""},
	{"fla-hub/retnet-1.3B-100B", "RetNet", "1.3B", 0, 0, "MIT", ""},
	{"fla-hub/delta_net-1.3B-100B", "DeltaNet", "1.3B", 0, 0, "", ""},
	{"fla-hub/mamba-1.3B-100B", "Mamba-1", "1.3B", 0, 0, "", ""},
	{"fla-hub/transformer-1.3B-100B", "transformer", "1.3B", 0, 0, "MIT", ""},
}

const trainedOn2048 = "training length: arXiv 2507.02782, figure 1"

func (p Published) row() []string {
	state, length, licence := "–", "–", p.Licence
	if p.State > 0 {
		state = numeral.Grouped(p.State)
	}
	if p.TrainLength > 0 {
		length = numeral.Grouped(p.TrainLength)
	}
	if licence == "" {
		licence = "not stated"
	}
	return []string{p.Name, p.Architecture, p.Size, state, length, licence, p.Source}
}

var columns = []string{"name", "architecture", "parameters", "state (scalars)", "training length", "licence", "source of what the card does not say"}

// WriteKnown writes [Known] as a table for people.
func WriteKnown(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.Join(columns, "\t"))
	for _, p := range Known {
		fmt.Fprintln(t, strings.Join(p.row(), "\t"))
	}
	return t.Flush()
}

// markdown is [Known] as the table of README.md beside this file.
func markdown() string {
	var b strings.Builder
	for _, row := range append([][]string{columns, {"---", "---", "---", "---:", "---:", "---", "---"}}, rows()...) {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
	}
	return b.String()
}

func rows() (rows [][]string) {
	for _, p := range Known {
		rows = append(rows, p.row())
	}
	return rows
}
