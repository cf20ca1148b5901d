package lm

import (
	"fmt"
	"slices"
	"sync"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/distributed"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/xla"
)

// Program is a compiled graph whose arguments and results have names.
type Program struct {
	exec  *graph.Exec
	args  []string
	mutex sync.Mutex
	outs  []string
}

// Args are the arguments of a call in order: tensors, host scalars, or buffers that are given away. A graph is built for the
// names and their order that it is first called with.
type Args struct {
	names  []string
	values []any
	device compute.DeviceNum // on which a call runs
}

// Put adds an argument.
func (a *Args) Put(name string, value any) *Args {
	a.names, a.values = append(a.names, name), append(a.values, value)
	return a
}

// Params adds the parameters.
func (a *Args) Params(w *Weights) *Args {
	for i, s := range w.Specs {
		a.Put(paramPrefix+s.Name, w.Values[i])
	}
	return a
}

// State adds a state in the order of the model's specs.
func (a *Args) State(m Model, s State) *Args {
	for _, spec := range m.State(1) {
		a.Put(statePrefix+spec.Name, s[spec.Name])
	}
	return a
}

// All adds the members of a map in the order of names, each as prefix + name.
func (a *Args) All(prefix string, names []string, of map[string]*tensors.Tensor) *Args {
	for _, name := range names {
		a.Put(prefix+name, of[name])
	}
	return a
}

func (a *Args) has(name string) bool { return slices.Contains(a.names, name) }

const (
	paramPrefix   = "param/"
	statePrefix   = "state/"
	controlPrefix = "control/"
	probePrefix   = "probe/"
)

// In are the arguments inside a graph.
type In struct {
	names []string
	of    map[string]*graph.Node
}

// Node is an argument, nil if it is not given.
func (in In) Node(name string) *graph.Node { return in.of[name] }

// Nodes are the arguments of the names.
func (in In) Nodes(names []string) (nodes []*graph.Node) {
	for _, name := range names {
		nodes = append(nodes, in.of[name])
	}
	return nodes
}

// Under are the arguments whose names begin with a prefix, without it.
func (in In) Under(prefix string) map[string]*graph.Node {
	out := map[string]*graph.Node{}
	for _, name := range in.names {
		if len(name) > len(prefix) && name[:len(prefix)] == prefix {
			out[name[len(prefix):]] = in.of[name]
		}
	}
	return out
}

// Params are the parameters by name.
func (in In) Params() map[string]*graph.Node { return in.Under(paramPrefix) }

// State is the state by name.
func (in In) State() map[string]*graph.Node { return in.Under(statePrefix) }

// Out collects the results of a graph.
type Out struct {
	names []string
	nodes []*graph.Node
}

// Put adds a result.
func (o *Out) Put(name string, n *graph.Node) {
	o.names, o.nodes = append(o.names, name), append(o.nodes, n)
}

// PutAll adds results by name.
func (o *Out) PutAll(names []string, nodes []*graph.Node) {
	for i, name := range names {
		o.Put(name, nodes[i])
	}
}

// State adds a state in the order of the model's specs.
func (o *Out) State(m Model, state map[string]*graph.Node) {
	for _, s := range m.State(1) {
		o.Put(statePrefix+s.Name, state[s.Name])
	}
}

// Params adds parameters in the order of their specs.
func (o *Out) Params(specs []Spec, params map[string]*graph.Node) {
	for _, s := range specs {
		o.Put(paramPrefix+s.Name, params[s.Name])
	}
}

// Results are what a call returned, by name.
type Results map[string]*tensors.Tensor

// State is the state among the results.
func (r Results) State(m Model) State {
	state := State{}
	for _, s := range m.State(1) {
		state[s.Name] = r[statePrefix+s.Name]
	}
	return state
}

// NewProgram prepares a graph for arguments of the names in args; build is called for every set of shapes.
func NewProgram(d *xla.Device, name string, args *Args, build func(in In, out *Out)) *Program {
	p := &Program{args: args.names}
	p.exec = graph.MustNewExec(d.Backend, func(nodes []*graph.Node) []*graph.Node {
		out := &Out{}
		build(inOf(p.args, nodes), out)
		p.mutex.Lock()
		p.outs = out.names
		p.mutex.Unlock()
		return out.nodes
	}).SetMaxCache(-1).WithName(name)
	return p
}

// Call runs the graph.
func (p *Program) Call(args *Args) (Results, error) {
	if len(args.names) != len(p.args) {
		return nil, fmt.Errorf("graph: %d arguments, it takes %d: %v", len(args.names), len(p.args), p.args)
	}
	for i, name := range args.names {
		if name != p.args[i] {
			return nil, fmt.Errorf("graph: argument %d is %s, must be %s", i, name, p.args[i])
		}
	}
	outs, _, err := p.exec.CallWithGraphOnDevice(args.device, args.values...)
	if err != nil {
		return nil, err
	}
	p.mutex.Lock()
	defer p.mutex.Unlock()
	r := Results{}
	for i, t := range outs {
		r[p.outs[i]] = t
	}
	return r, nil
}

// Spread makes the graph run on the first n devices at once, each with its own arguments (SPMD), before its first call.
func (p *Program) Spread(n int) error {
	mesh, err := distributed.NewDeviceMesh([]int{n}, []string{"rows"})
	if err != nil {
		return fmt.Errorf("graph: %d devices: %w", n, err)
	}
	p.exec.SPMD(mesh)
	return nil
}

// CallAll runs the graph with the arguments of each device; results lie on the devices, too.
func (p *Program) CallAll(all []*Args) ([]Results, error) {
	var values []any
	for _, args := range all {
		if !slices.Equal(args.names, p.args) {
			return nil, fmt.Errorf("graph: arguments %v, it takes %v", args.names, p.args)
		}
		values = append(values, args.values...)
	}
	outs, err := p.exec.Call(values...)
	if err != nil {
		return nil, err
	}
	p.mutex.Lock()
	defer p.mutex.Unlock()
	results := make([]Results, len(all))
	for i, t := range outs {
		if i%len(p.outs) == 0 {
			results[i/len(p.outs)] = Results{}
		}
		results[i/len(p.outs)][p.outs[i%len(p.outs)]] = t
	}
	return results, nil
}

// Compile builds the graph for shapes in the order of the arguments without running it.
func (p *Program) Compile(all ...shapes.Shape) error {
	_, err := p.exec.Compile(all...)
	return err
}

// Release frees what was compiled.
func (p *Program) Release() { p.exec.Finalize() }

// Programs are compiled graphs by what they compute.
type Programs struct {
	mutex sync.Mutex
	of    map[string]*Program
}

// Get returns the program of a key, built at the first time.
func (p *Programs) Get(d *xla.Device, key string, args *Args, build func(in In, out *Out)) *Program {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.of == nil {
		p.of = map[string]*Program{}
	}
	if p.of[key] == nil {
		p.of[key] = NewProgram(d, key, args, build)
	}
	return p.of[key]
}
