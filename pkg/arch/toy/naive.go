package toy

import "math"

// Naive is the definition for one sequence, token by token in float64, with parameters by name: logits [tokens, vocab] and the state
// after the last token by name, [layers, …].
func (c Config) Naive(params map[string][]float64, ids []int32) (logits []float64, state map[string][]float64) {
	state = map[string][]float64{"previous": make([]float64, c.Layers*c.Width), "memory": make([]float64, c.Layers*c.Heads*c.Keys*c.Values),
		"normaliser": make([]float64, c.Layers*c.Heads*c.Keys)}
	table := params["embedding"]
	for _, id := range ids {
		r := append([]float64{}, table[int(id)*c.Width:][:c.Width]...)
		for l := range c.Layers {
			for i, v := range c.layer(params, state, l, r) {
				r[i] += v
			}
		}
		hidden := norm(r, params["last_norm"])
		logits = append(logits, product(table, hidden)...)
	}
	return logits, state
}

// layer returns what a block adds to the residual stream at one token.
func (c Config) layer(params, state map[string][]float64, layer int, r []float64) []float64 {
	of := func(from map[string][]float64, name string) []float64 { // the layer's part
		size := len(from[name]) / c.Layers
		return from[name][layer*size:][:size]
	}
	x, past, u := norm(r, of(params, "norm")), of(state, "previous"), make([]float64, c.Width)
	for i := range u {
		u[i] = x[i] + of(params, "mix")[i]*(past[i]-x[i])
	}
	copy(past, x)
	q, k, v, a := product(of(params, "q"), u), product(of(params, "k"), u), product(of(params, "v"), u), product(of(params, "a"), u)
	memory, normaliser, y := of(state, "memory"), of(state, "normaliser"), make([]float64, c.Heads*c.Values)
	for h := range c.Heads {
		dot := 0.0
		for i := h * c.Keys; i < (h+1)*c.Keys; i++ {
			alpha := 1 / (1 + math.Exp(a[i])) // exp(−softplus)
			normaliser[i] = alpha*normaliser[i] + k[i]
			dot += normaliser[i] * q[i]
			for j := range c.Values {
				s := &memory[i*c.Values+j]
				*s = alpha**s + k[i]*v[h*c.Values+j]
				y[h*c.Values+j] += *s * q[i]
			}
		}
		for j := range c.Values {
			y[h*c.Values+j] /= 1 + math.Abs(dot)
		}
	}
	return product(of(params, "out"), y)
}

func norm(x, weight []float64) []float64 {
	mean, out := 0.0, make([]float64, len(x))
	for _, v := range x {
		mean += v * v / float64(len(x))
	}
	for i, v := range x {
		out[i] = v / math.Sqrt(mean+1e-5) * weight[i]
	}
	return out
}

// product returns W x for W [out, in].
func product(w, x []float64) []float64 {
	out := make([]float64, len(w)/len(x))
	for i := range out {
		for j, v := range x {
			out[i] += w[i*len(x)+j] * v
		}
	}
	return out
}
