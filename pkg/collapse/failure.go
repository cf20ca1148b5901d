package collapse

import (
	"fmt"
	"math"
)

// Estimate is a mean with its 95 % interval over sequences. Low and High are NaN if the spread is unknown.
type Estimate struct {
	Mean, Low, High float64
	Values          int64 // number of values in the mean
}

// Error is the standard error implied by the interval, 0 if it is unknown.
func (e Estimate) Error() float64 {
	if w := e.High - e.Low; w >= 0 {
		return w / (2 * 1.96)
	}
	return 0
}

// Minus returns the difference of two independent estimates, with a normal interval.
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

// Failure measures in absolute terms how much worse a model is far beyond its training length than within it. Within means the second half
// of the training length, far the second half of the sequence.
type Failure struct {
	Inside, Far Estimate // nats
	Excess      Estimate // far − inside, nats
	RecallLost  Estimate // share recalled within minus far, in points; empty where nothing is recalled
}

// Limits define what counts as a failure. The same limits apply to studies, mitigations and single models.
type Limits struct {
	Excess float64 // nats above the level within the window
	Lost   float64 // points of recall below that within the window
	Factor float64 // of the ratio
	Floor  float64 // nats; below it within the window no ratio is formed
	Values int64   // minimum number of values within the window for a ratio
}

// paperFactor is the threshold of arXiv 2410.07145: a model fails if its loss beyond T exceeds this multiple of its loss within T.
const paperFactor = 2

// DefaultLimits returns 0.1 nats (the margin of the strict rule), 5 points, and the factor 2 of arXiv 2410.07145 for levels of at least 0.05
// nats from at least 200 values.
func DefaultLimits() Limits {
	return Limits{Excess: 0.1, Lost: 5, Factor: paperFactor, Floor: 0.05, Values: 200}
}

// Answer of a rule to a question.
type Answer int

// Answers of a rule.
const (
	Unknown Answer = iota // not enough data to decide
	No
	Yes
)

// ByExcess: the excess loss reaches the limit and its interval lies above 0.
func (l Limits) ByExcess(f Failure) Answer { return above(f.Excess, l.Excess) }

// ByRecall: the loss of recall reaches the limit, in points, and its interval lies above 0.
func (l Limits) ByRecall(f Failure) Answer { return above(f.RecallLost, l.Lost) }

// ByRatio: the far loss exceeds Factor times the loss within; unknown below the floor.
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

// Ratio returns far/inside, NaN if the level within the window is below the floor or averages too few values.
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
