package report

import (
	"math"

	"stuffed/pkg/collapse"
	"stuffed/pkg/interval"
)

// Excess is the mean loss over the last half of the sequences less that over ½T … T, with its 95 % interval over prompts
// (Student); of one prompt it has none.
func (s *Seen) Excess() collapse.Estimate {
	prompts, err := s.Losses.Text("prompt")
	if err != nil {
		return collapse.Estimate{Mean: nan, Low: nan, High: nan}
	}
	position, _ := s.Losses.Float("position")
	loss, _ := s.Losses.Float("loss")
	length, sums, order := 0.0, map[string]*[4]float64{}, []string(nil)
	for _, p := range position {
		length = max(length, p)
	}
	for i, p := range prompts {
		if math.IsNaN(loss[i]) {
			continue
		}
		if sums[p] == nil {
			sums[p], order = &[4]float64{}, append(order, p)
		}
		switch at := position[i]; {
		case at >= float64(s.TrainLength)/2 && at < float64(s.TrainLength):
			sums[p][0], sums[p][1] = sums[p][0]+loss[i], sums[p][1]+1
		case at >= length/2:
			sums[p][2], sums[p][3] = sums[p][2]+loss[i], sums[p][3]+1
		}
	}
	var excess []float64
	for _, p := range order {
		if v := sums[p]; v[1] > 0 && v[3] > 0 {
			excess = append(excess, v[2]/v[3]-v[0]/v[1])
		}
	}
	mean, low, high := interval.Student(excess)
	return collapse.Estimate{Mean: mean, Low: low, High: high, Values: int64(len(excess))}
}

// BeyondFilling is the largest growth of a head over what filling up explains (collapse.Filling), of the heads that stay above
// twice their norm within the window; 0 where none does, NaN where the trace does not tell retention.
func (s *Seen) BeyondFilling() float64 {
	t, err := Ratios(s.States, s.Verdict)
	if err != nil {
		return nan
	}
	ratio, _ := t.Float("ratio")
	retained, _ := t.Float("retention")
	onset, _ := t.Float("onset")
	most := 0.0
	for i := range ratio {
		if math.IsNaN(onset[i]) {
			continue
		}
		_, coherent := collapse.Filling(retained[i], float64(s.Verdict.Details.StateEnd+1)/float64(s.TrainLength))
		most = max(most, ratio[i]/coherent)
	}
	return most
}
