package collapse

import (
	"fmt"
	"math"
)

// Estimate is a mean with its 95 % interval over sequences. Low and High are NaN where the spread is not known.
type Estimate struct {
	Mean, Low, High float64
	Values          int64 // that the mean is made of
}

// Error is the standard error that the interval stands for, 0 where it is not known.
func (e Estimate) Error() float64 {
	if w := e.High - e.Low; w >= 0 {
		return w / (2 * 1.96)
	}
	return 0
}

// Minus is the difference of two independent estimates, with a normal interval.
func (e Estimate) Minus(f Estimate) Estimate {
	half := 1.96 * math.Hypot(e.Error(), f.Error())
	d := Estimate{Mean: e.Mean - f.Mean, Low: math.NaN(), High: math.NaN(), Values: min(e.Values, f.Values)}
	if half > 0 {
		d.Low, d.High = d.Mean-half, d.Mean+half
	}
	return d
}

func (e Estimate) String() string {
	if math.IsNaN(e.Low) {
		return fmt.Sprintf("%.3g", e.Mean)
	}
	return fmt.Sprintf("%.3g [%.3g, %.3g]", e.Mean, e.Low, e.High)
}

// Failure is how much worse a model is far beyond its training length than within it, in absolute terms. Within is the
// second half of the window, far the second half of the sequence.
type Failure struct {
	Inside, Far Estimate // nats
	Excess      Estimate // far − inside, nats
	RecallLost  Estimate // share recalled within minus far, in points; empty where nothing is recalled
}

// Limits are what counts as a failure. The same ones hold for studies, mitigations and single models.
type Limits struct {
	Excess float64 // nats above the level within the window
	Lost   float64 // points of recall below that within the window
	Factor float64 // of the ratio
	Floor  float64 // nats; below it within the window no ratio is formed
	Values int64   // fewer values within the window, and no ratio is formed
}

// DefaultLimits are 0.1 nats, as the margin of the strict rule, 5 points, and the factor 2 of arXiv 2410.07145 on levels
// of at least 0.05 nats from at least 200 values.
func DefaultLimits() Limits { return Limits{Excess: 0.1, Lost: 5, Factor: 2, Floor: 0.05, Values: 200} }

// Answer of a rule to a question.
type Answer int

// Answers of a rule.
const (
	Unknown Answer = iota // nothing to judge by
	No
	Yes
)

// ByExcess: the excess loss is at least the limit and its interval lies above 0.
func (l Limits) ByExcess(f Failure) Answer { return above(f.Excess, l.Excess) }

// ByRecall: at least so many points of recall are lost, and the interval lies above 0.
func (l Limits) ByRecall(f Failure) Answer { return above(f.RecallLost, l.Lost) }

// ByRatio: the far loss is above the factor times that within; unknown below the floor.
func (l Limits) ByRatio(f Failure) Answer {
	ratio := l.Ratio(f)
	switch {
	case math.IsNaN(ratio):
		return Unknown
	case ratio > l.Factor:
		return Yes
	}
	return No
}

// Ratio of far to inside, NaN where the level within the window is below the floor or from too few values.
func (l Limits) Ratio(f Failure) float64 {
	if !(f.Inside.Mean >= l.Floor) || f.Inside.Values < l.Values {
		return math.NaN()
	}
	return f.Far.Mean / f.Inside.Mean
}

func above(e Estimate, limit float64) Answer {
	switch {
	case math.IsNaN(e.Mean) || e.Values == 0:
		return Unknown
	case e.Mean >= limit && !(e.Low <= 0):
		return Yes
	}
	return No
}
