package intervene

import (
	"errors"
	"fmt"

	"stuffed/datasets"
	"stuffed/datasets/prompt"
)

// Text is a text of one's own that a suite reads instead of the recall stream. Its first quarter calibrates, its second selects, its
// second half tests; loss and recall are those of all tokens.
type Text struct {
	Name string  `json:"name"`
	IDs  []int32 `json:"-"`
}

// ReadText joins the documents of a file or folder in the model's own tokens.
func ReadText(name, path string, enc datasets.Encoder) (*Text, error) {
	probes, err := prompt.Texts{Kind: "documents", Corpus: path, Split: "all"}.Make(enc)
	if err != nil {
		return nil, err
	}
	t := &Text{Name: name}
	for _, p := range probes {
		t.IDs = append(t.IDs, p.IDs...)
	}
	return t, nil
}

// part is what belongs to a split.
func (t *Text) part(split string) []int32 {
	quarter := len(t.IDs) / 4
	switch split {
	case "calibration":
		return t.IDs[:quarter]
	case "selection":
		return t.IDs[quarter : 2*quarter]
	}
	return t.IDs[2*quarter:]
}

// validate tells whether sequences of so many tokens fit: those of the test do not overlap.
func (t *Text) validate(s Suite, vocab int) error {
	if s.Wide {
		return errors.New("wide: recall by age is that of the recall stream, a text has no pairs")
	}
	for _, id := range t.IDs {
		if id < 0 || int(id) >= vocab {
			return fmt.Errorf("text %s: token %d is none of the model's %d: give its own tokenizer", t.Name, id, vocab)
		}
	}
	need := s.length() + 1
	if quarter := len(t.IDs) / 4; quarter < need {
		return fmt.Errorf("text %s: %d tokens; its quarter of %d must hold %d × %d tokens and one more: give a longer text or smaller multiples",
			t.Name, len(t.IDs), quarter, s.Multiples[len(s.Multiples)-1], s.TrainLength)
	}
	if most := len(t.part("test")) / need; s.Split == "test" && s.Sequences > most {
		return fmt.Errorf("text %s: sequences is %d, its second half holds %d of %d tokens", t.Name, s.Sequences, most, need)
	}
	return nil
}

// rows are sequences spread evenly over the part; every token is one to predict.
func (t *Text) rows(s Suite, length int) (rows [][]int32, repeat [][]bool, age [][]int32) {
	part := t.part(s.Split)
	every := make([]bool, length)
	for i := range every {
		every[i] = true
	}
	for i := range s.Sequences {
		from := (len(part) - length) * i / max(s.Sequences-1, 1)
		rows, repeat, age = append(rows, part[from:][:length]), append(repeat, every), append(age, make([]int32, length))
	}
	return rows, repeat, age
}
