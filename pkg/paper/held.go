package paper

import (
	"fmt"
	"maps"
	"slices"

	"stuffed/datasets"
	"stuffed/pkg/bound"
	"stuffed/pkg/study"
	"stuffed/pkg/table"
)

// stateBits bounds the bits that one number of the state can hold: states are float32.
const stateBits = 32

// HeldRow is what one model holds at the end of a window.
type HeldRow struct {
	State         int64   `parquet:"state" doc:"state dimension N of a head"`
	Seed          int64   `parquet:"seed" doc:"seed of the model"`
	TrainLength   int64   `parquet:"train_length" doc:"training length T, tokens"`
	Gap           int64   `parquet:"gap" doc:"largest number of pairs between a pair and its repeat"`
	Scalars       int64   `parquet:"scalars" doc:"numbers in the state"`
	Items         float64 `parquet:"items" doc:"keys met in the last gap pairs, mean"`
	Recalled      float64 `parquet:"recalled" doc:"those of them whose values come back"`
	HeldBits      float64 `parquet:"held_bits" doc:"bits that the measured accuracy takes at least: Fano's inequality, summed over the items"`
	BoundBits     float64 `parquet:"bound_bits" doc:"32 bits for each number"`
	Factor        float64 `parquet:"factor" doc:"bound_bits over held_bits"`
	BitsPerScalar float64 `parquet:"bits_per_scalar" doc:"held_bits over scalars"`
	RankKeys      int64   `parquet:"rank_keys" doc:"keys that the heads of one layer can tell apart exactly"`
}

// Held compares what the models of a study of the recall stream hold at the end of a window with what their states could hold: a
// table with one [HeldRow] per model.
//
// Items of an age are taken to be recalled with the accuracy measured at repeats of that age, within positions ½T … T.
func Held(root, plan, policy string) (*table.Table, error) {
	age, err := chosen(root, plan, "age", "policy", policy)
	if err != nil {
		return nil, err
	}
	c, err := ageColumns(age)
	if err != nil {
		return nil, err
	}
	values, err := valuesOf(root, plan)
	if err != nil {
		return nil, err
	}
	type model struct {
		row    string
		member int64
	}
	var order []model
	sums := map[model]*heldModel{}
	for i := range age.Rows() {
		if c.position[i] < c.length[i]/2 || c.position[i] >= c.length[i] {
			continue
		}
		id := model{c.row[i], c.member[i]}
		if sums[id] == nil {
			order = append(order, id)
			sums[id] = &heldModel{at: i, right: map[int64]float64{}, asked: map[int64]float64{}, end: map[int64]int64{}}
		}
		m := sums[id]
		m.right[c.age[i]] += c.accuracy[i] * c.repeats[i]
		m.asked[c.age[i]] += c.repeats[i]
		m.end[c.age[i]] = c.end[i]
	}
	var rows []HeldRow
	for _, id := range order {
		m := sums[id]
		i := m.at
		n, right, bits := m.hold(c, values)
		numbers := c.scalars[i] * 1e6
		rows = append(rows, HeldRow{State: c.state[i], Seed: c.seed[i], TrainLength: c.length[i], Gap: c.gap[i], Scalars: int64(numbers + 0.5),
			Items: n, Recalled: right, HeldBits: bits, BoundBits: numbers * stateBits, Factor: numbers * stateBits / bits, BitsPerScalar: bits / numbers,
			RankKeys: c.heads[i] * c.state[i]})
	}
	return Sorted(table.Of(rows), "train_length", "state", "seed")
}

// heldModel collects what is known about one model, by the first age of each bucket.
type heldModel struct {
	at           int // its first row
	right, asked map[int64]float64
	end          map[int64]int64 // age after each bucket, 0 if there is none
}

// hold returns the number of items, how many of them are recalled, and their bits.
func (m *heldModel) hold(c *ageTable, values int) (items, recalled, bits float64) {
	gap := c.gap[m.at]
	counts := keysByAge(datasets.RecallStream{Keys: 2 << 20, Values: values, Gap: int(gap), Seed: -1}, int(c.length[m.at]))
	for _, age := range slices.Sorted(maps.Keys(m.asked)) { // in order, since sums of floats depend on it
		asked, end := m.asked[age], m.end[age]
		if end == 0 || end > gap {
			end = gap + 1
		}
		n := 0.0
		for a := age; a < end && int(a) < len(counts); a++ {
			n += counts[a]
		}
		share := m.right[age] / asked
		items, recalled = items+n, recalled+n*share
		bits += n * bound.Information(1, values, 1-share)
	}
	return items, recalled, bits
}

// keysByAge returns, by age in pairs, the expected number of keys (0 to 1) last met that long before the end of a window. Keys
// met again by chance would only lower it, so the stream may have more keys than the study's.
func keysByAge(stream datasets.RecallStream, tokens int) []float64 {
	const sequences = 32
	counts := make([]float64, tokens/2+1)
	for s := range int64(sequences) {
		ids, _, _ := stream.Sequence(s, tokens)
		seen := map[int32]bool{}
		for pair := tokens/2 - 1; pair >= 0; pair-- {
			if k := ids[2*pair]; !seen[k] {
				seen[k] = true
				counts[tokens/2-pair] += 1.0 / sequences
			}
		}
	}
	return counts
}

// ageTable holds the columns that Held reads.
type ageTable struct {
	row                                                         []string
	member, state, seed, length, gap, heads, position, age, end []int64
	accuracy, repeats, scalars                                  []float64
}

func ageColumns(t *table.Table) (*ageTable, error) {
	c := &ageTable{}
	var err error
	if c.row, err = t.Text("row"); err != nil {
		return nil, err
	}
	for name, into := range map[string]*[]int64{"replica": &c.member, "state": &c.state, "seed": &c.seed, "train_length": &c.length, "gap": &c.gap,
		"heads": &c.heads, "position": &c.position, "age": &c.age, "age_end": &c.end} {
		if *into, err = t.Int(name); err != nil {
			return nil, err
		}
	}
	for name, into := range map[string]*[]float64{"accuracy": &c.accuracy, "repeats": &c.repeats, "n_s": &c.scalars} {
		if *into, err = t.Float(name); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// valuesOf returns the number of values in a plan's stream.
func valuesOf(root, plan string) (int, error) {
	p, err := study.ReadPlan(plan)
	if err != nil {
		return 0, err
	}
	rows, err := p.Rows()
	if err != nil {
		return 0, err
	}
	values := rows[0].Config.Train.Data.Values
	for _, r := range rows {
		if r.Config.Train.Data.Values != values {
			return 0, fmt.Errorf("plan %s in %s: rows have %d and %d values; ask for a plan with one number of them", plan, root, values, r.Config.Train.Data.Values)
		}
	}
	return values, nil
}
