package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/checkpoint"
	"stuffed/pkg/lm"
	"stuffed/xla"
)

// Trainer holds the members of a run, their moments and carried states on the device.
type Trainer struct {
	Device  *xla.Device
	Model   lm.Model
	Config  Config
	Data    Data
	Notify  func(Status) // after every call of the device, may be nil
	Message func(string) // lines for the user, may be nil

	step    int64 // steps done
	broken  bool  // a step failed, see Broken
	stage   int   // of step
	program *program
	feed    *feed
	graph   *lm.Program
	carry   []*tensors.Tensor   // of all rows; what is carried from sequence to sequence is out of date while shards are there
	shards  [][]*tensors.Tensor // carry by device, where several share the rows
	runner  *lm.Runner

	waited, ran time.Duration // for data, and in all, since the first call
}

// Status is what a run shows while it goes.
type Status struct {
	Step, Steps int64
	Tokens      int64     // done, of all members
	Loss        []float64 // of the last step, by member
	GradNorm    []float64
	Memory      int64 // peak of the process in bytes, 0 if not known
}

// Results are those of the steps of one call: [step][member].
type Results struct {
	Step                    int64 // first
	Loss, GradNorm, Skipped [][]float32
	GradLayer, ParamLayer   [][]float32 // [step][layers × members], on request
}

// Open opens data and model of a configuration and draws the weights, or reads those of config.init.
func Open(d *xla.Device, c Config) (*Trainer, error) {
	c, data, err := Prepare(c)
	if err != nil {
		return nil, err
	}
	m, err := c.Model.New()
	if err != nil {
		return nil, err
	}
	w, err := startWeights(m, c)
	if err != nil {
		return nil, err
	}
	return New(d, m, w, c, data)
}

// Prepare opens the data of a configuration and fills in the vocabulary.
func Prepare(c Config) (Config, Data, error) {
	data, err := OpenData(c.Data)
	if err != nil {
		return c, nil, err
	}
	if c.Model.Config == nil {
		return c, nil, fmt.Errorf("config: model is missing")
	}
	if c.Model.Sizes().Vocab == 0 {
		c.Model.Config = c.Model.WithVocab(data.Vocab())
	}
	if rows := c.Model.Sizes().Vocab; rows < data.Vocab() {
		return c, nil, fmt.Errorf("config: model.vocab = %d is below the %d ids of the data; set it to 0 to take theirs", rows, data.Vocab())
	}
	return c, data, c.Validate()
}

// New trains given weights, one model per member of the configuration; they are the trainer's from then on.
func New(d *xla.Device, m lm.Model, w *lm.Weights, c Config, data Data) (*Trainer, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	members := c.Members()
	if w.Members != len(members) {
		return nil, fmt.Errorf("weights of %d models, but the configuration has %d members (policy × lr × seeds)", w.Members, len(members))
	}
	t := &Trainer{Device: d, Model: m, Config: c, Data: data}
	if err := t.enter(0, w.Values[0].DType()); err != nil {
		return nil, err
	}
	all, _ := t.program.whole().shapes()
	t.carry = make([]*tensors.Tensor, len(all))
	copy(t.carry, w.Values)
	for i := range all {
		if t.carry[i] == nil {
			t.carry[i] = tensors.FromShape(all[i])
		}
	}
	return t, nil
}

// enter prepares the graph and the data of a stage.
func (t *Trainer) enter(stage int, dtype dtypes.DType) error {
	from := int64(0)
	for _, s := range t.Config.stages()[:stage] {
		from += s.Steps
	}
	f, err := newFeed(t.Config, t.Data, stage, from)
	if err != nil {
		return err
	}
	members := t.Config.Members()
	devices := max(t.Config.Devices, 1)
	if have := int(t.Device.NumDevices()); devices > have {
		return fmt.Errorf("config: devices = %d, but %s has %d; lower devices, or run independent models with stuffed study run --workers", devices, t.Device.Kind, have)
	}
	model, err := t.Config.limited(t.Model)
	if err != nil {
		return err
	}
	p := &program{config: t.Config, model: model, members: members, use: usesOf(members), T: f.T, devices: devices,
		rows: f.rows / t.Config.Accumulate / devices, segmented: f.segmented, dtype: dtype, loops: t.Device.HasLoops(), logits: logitsAtOnce(t.Device.Kind)}
	p.specs = t.Model.Parameters(len(members))
	if p.use.learn {
		for _, s := range t.Model.State(len(members)) { // one state of each member
			s.Name = learnedPrefix + s.Name
			p.specs = append(p.specs, s)
		}
	}
	if d, ok := t.Data.(*taskData); ok {
		if p.answers, err = d.mostAnswers(f.T); err != nil {
			return err
		}
	}
	t.stage, t.feed, t.program = stage, f, p
	t.graph, err = executable(t.Device, p)
	return err
}

// logitsAtOnce is how many bytes the logits of one piece may take on a kind of device.
func logitsAtOnce(kind string) int {
	if kind == "cuda" {
		return 2 << 30
	}
	return 256 << 20
}

// compiled keeps the graphs of the last configurations, so that a run that resumes in the same process starts at once.
var compiled struct {
	sync.Mutex
	keys  []string
	execs map[string]*lm.Program
}

// compiledMost is the number of configurations and lengths kept.
const compiledMost = 8

func executable(d *xla.Device, p *program) (*lm.Program, error) {
	key := fmt.Sprintf("%p %d %s %s %s %d %v", d.Backend, p.devices, p.config.Hash(), p.model.Name(), p.model.Hash(), p.T, p.config.Log.Norms) + p.dtype.String()
	compiled.Lock()
	defer compiled.Unlock()
	if e := compiled.execs[key]; e != nil {
		return e, nil
	}
	if compiled.execs == nil {
		compiled.execs = map[string]*lm.Program{}
	}
	if len(compiled.keys) == compiledMost {
		delete(compiled.execs, compiled.keys[0])
		compiled.keys = compiled.keys[1:]
	}
	args := &lm.Args{}
	_, names := p.shapes()
	for _, name := range append(names, p.inputs()...) {
		args.Put(name, nil)
	}
	e := lm.NewProgram(d, fmt.Sprintf("train step, length %d", p.T), args, p.build)
	if p.devices > 1 {
		if err := e.Spread(p.devices); err != nil {
			return nil, err
		}
	}
	compiled.keys, compiled.execs[key] = append(compiled.keys, key), e
	return e, nil
}

// advance enters the stage of the current step; states that are carried start anew in it.
func (t *Trainer) advance() error {
	stage, end := 0, int64(0)
	for i, s := range t.Config.stages() {
		if end += s.Steps; t.step < end || i == len(t.Config.stages())-1 {
			stage = i
			break
		}
	}
	if stage == t.stage {
		return nil
	}
	if err := t.enter(stage, t.program.dtype); err != nil {
		return err
	}
	all, _ := t.program.whole().shapes()
	for i, s := range all {
		if t.carry[i] == nil || !t.carry[i].Shape().Equal(s) {
			t.carry[i] = tensors.FromShape(s)
		}
	}
	t.shards = nil
	return nil
}

// Steps is the number of optimiser steps done.
func (t *Trainer) Steps() int64 { return t.step }

// Broken reports whether the last step failed, which leaves no weights: they were the device's to overwrite.
func (t *Trainer) Broken() bool { return t.broken }

// Weights are the models as they are now; training on replaces them.
func (t *Trainer) Weights() *lm.Weights {
	specs := t.Model.Parameters(len(t.program.members))
	return &lm.Weights{Model: t.Model, Members: len(t.program.members), Specs: specs, Values: t.carry[:len(specs)]}
}

// Compile builds the graph of a call of the given number of steps without running it.
func (t *Trainer) Compile(steps int) error {
	args, _ := t.program.shapes()
	p := t.program
	batch, T := len(p.members)*p.rows, t.feed.length(t.step)
	a := t.Config.Accumulate
	rows := []shapes.Shape{shapes.Make(dtypes.Int32, steps, a, batch, T), shapes.Make(dtypes.Int32, steps, a, batch, T),
		shapes.Make(dtypes.Float32, steps, a, batch), shapes.Make(dtypes.Float32, steps, len(p.members)), shapes.Make(dtypes.Int32, steps)}
	if p.segmented {
		rows = append(rows, rows[0])
	}
	if p.devices > 1 {
		rows = append(rows, rows[4])
	}
	return t.graph.Compile(slices.Repeat(append(args, rows...), p.devices)...)
}

// Step makes one call of config.steps_per_call steps with fresh data and returns its results.
func (t *Trainer) Step() (Results, error) {
	if err := t.advance(); err != nil {
		return Results{}, err
	}
	b, err := t.feed.block(t.step, t.Config.StepsPerCall)
	if err != nil {
		return Results{}, err
	}
	return t.call(b)
}

// call runs a block. The carry is donated to the device: after a failure only a snapshot helps.
func (t *Trainer) call(b *block) (Results, error) {
	p := t.program
	outs, err := t.run(b)
	if t.broken = err != nil; t.broken {
		err = fmt.Errorf("step %d: %w", b.step, err)
		if t.Config.Output != "" {
			err = fmt.Errorf("%w; continue from the last snapshot with --resume", err)
		}
		return Results{}, err
	}
	r := Results{Step: b.step}
	for i, to := range []*[][]float32{&r.Loss, &r.GradNorm, &r.Skipped, &r.GradLayer, &r.ParamLayer}[:p.results()] {
		flat, err := tensors.CopyFlatData[float32](outs[resultNames[i]])
		if err != nil {
			return r, fmt.Errorf("step %d: %s: %w", b.step, resultNames[i], err)
		}
		width := len(flat) / b.steps
		for s := range b.steps {
			*to = append(*to, flat[s*width:][:width])
		}
	}
	t.step = b.step + int64(b.steps)
	return r, t.checkSkips(r)
}

// run runs a block; the carry is what it leaves.
func (t *Trainer) run(b *block) (lm.Results, error) {
	if t.program.devices > 1 {
		return t.runAll(b)
	}
	args, err := t.arguments(t.carry, 0, b)
	if err != nil {
		return nil, err
	}
	outs, err := t.graph.Call(args)
	if err != nil {
		return nil, err
	}
	_, names := t.program.shapes()
	for i, name := range names {
		t.carry[i] = outs[name]
	}
	return outs, nil
}

// arguments of the graph on a device.
func (t *Trainer) arguments(carry []*tensors.Tensor, device compute.DeviceNum, b *block) (*lm.Args, error) {
	p, args := t.program, &lm.Args{}
	_, names := p.shapes()
	for i, m := range carry {
		buffer, err := graph.DonateTensorBuffer(m, t.Device.Backend, device)
		if err != nil {
			return nil, err
		}
		args.Put(names[i], buffer)
	}
	a, batch := t.Config.Accumulate, len(p.members)*p.rows
	args.Put("tokens", tensors.FromFlatDataAndDimensions(b.tokens, b.steps, a, batch, b.T)).
		Put("labels", tensors.FromFlatDataAndDimensions(b.labels, b.steps, a, batch, b.T)).
		Put("keep", tensors.FromFlatDataAndDimensions(b.keep, b.steps, a, batch)).
		Put("rate", tensors.FromFlatDataAndDimensions(b.rate, b.steps, len(p.members))).
		Put("clock", tensors.FromFlatDataAndDimensions(b.clock, b.steps))
	if p.segmented {
		args.Put("starts", tensors.FromFlatDataAndDimensions(b.starts, b.steps, a, batch, b.T))
	}
	if p.devices > 1 {
		args.Put("device", tensors.FromFlatDataAndDimensions(slices.Repeat([]int32{int32(device)}, b.steps), b.steps))
	}
	return args, nil
}

// checkSkips stops a run whose gradients stay NaN or infinite.
func (t *Trainer) checkSkips(r Results) error {
	bad, err := tensors.CopyFlatData[int32](t.carry[len(t.carry)-1])
	if err != nil {
		return err
	}
	for i, n := range bad {
		if int(n) > t.Config.SkipLimit {
			return fmt.Errorf("member %s: gradients were NaN or infinite in %d steps in a row (skip_limit = %d), step %d; lower lr or raise warmup",
				t.program.members[i].Name(), n, t.Config.SkipLimit, t.step)
		}
	}
	return nil
}

// Begin prepares the output folder: with resume, training continues from its newest whole snapshot, if there is one. A
// folder that holds snapshots is refused otherwise, unless restart says to begin again: then
// they are kept as snapshots.before.
func (t *Trainer) Begin(resume, restart bool) error {
	if t.Config.Output == "" {
		return nil
	}
	have, err := checkpoint.Snapshots(t.Config.snapshotRoot())
	switch {
	case err != nil:
		return fmt.Errorf("output: %w", err)
	case len(have) == 0:
		return nil
	case restart: // later steps of the old run must not be taken for this one's
		before := t.Config.snapshotRoot() + ".before"
		if err := os.RemoveAll(before); err != nil {
			return fmt.Errorf("output: %w", err)
		}
		return os.Rename(t.Config.snapshotRoot(), before)
	case !resume:
		return fmt.Errorf("output: %s holds snapshots up to step %d: use --resume to continue, --restart to begin again, or another output folder",
			t.Config.Output, have[len(have)-1])
	}
	return t.Resume()
}

// Left is the number of tokens that are still to be trained on, of all members.
func (t *Trainer) Left() int64 {
	return (t.Config.Total() - t.step) * int64(t.Config.BatchTokens*len(t.program.members))
}

// Run trains to the end of the configuration, writes what it asks for, and saves when ctx ends.
func (t *Trainer) Run(ctx context.Context) error {
	log, err := openLog(t)
	if err != nil {
		return err
	}
	total := t.Config.Total()
	cut := false // a validation was cut short; it comes again with --resume
	failed := func(err error) bool {
		cut = err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err())
		return err != nil && !cut
	}
	if t.step > 0 && log.valid != nil && log.valid.last < t.step && t.validates() {
		if err := t.events(ctx, log); failed(err) {
			return log.keep(err)
		}
	}
	for t.step < total && !cut && ctx.Err() == nil {
		if err := t.advance(); err != nil {
			return err
		}
		if err := t.runStage(ctx, log); failed(err) {
			return log.keep(err)
		}
	}
	if err := ctx.Err(); err != nil && (cut || t.step < total) {
		if saveErr := t.Save(); saveErr != nil {
			return log.keep(saveErr)
		}
		return log.keep(fmt.Errorf("stopped after step %d of %d, saved in %s; continue with --resume: %w", t.step, total, t.Config.Output, err))
	}
	if t.Waited() >= 0.01 {
		t.say("the device waited for data in %.2f %% of the time of its steps", 100*t.Waited())
	}
	return log.finish()
}

// Waited is the share of the time of steps in which the device waited for data; 0 before the second call.
func (t *Trainer) Waited() float64 {
	if t.ran == 0 {
		return 0
	}
	return t.waited.Seconds() / t.ran.Seconds()
}

// runStage makes the calls of the current stage.
func (t *Trainer) runStage(ctx context.Context, log *log) error {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	calls := t.calls()
	blocks := t.feed.ahead(inner, calls)
	for i := range calls {
		if ctx.Err() != nil {
			return nil
		}
		begin := time.Now()
		b, ok := <-blocks
		if !ok {
			return nil // ctx has ended
		}
		arrived := time.Now()
		if b.err != nil {
			return b.err
		}
		r, err := t.call(b.block)
		if logErr := log.add(r); err == nil {
			err = logErr
		}
		if err != nil {
			return err
		}
		if i > 0 { // the first compiles
			t.waited, t.ran = t.waited+arrived.Sub(begin), t.ran+time.Since(begin)
		}
		if t.Notify != nil {
			t.Notify(t.status(r))
		}
		if err := t.events(ctx, log); err != nil {
			return err
		}
	}
	return nil
}

// calls lists the calls from the current step to the end of the stage: as many steps as configured where they fit
// between events and have one length, single steps elsewhere. A resumed run makes the same calls as one that never stopped.
func (t *Trainer) calls() (calls []call) {
	end, k := t.feed.from+t.Config.stages()[t.stage].Steps, int64(t.Config.StepsPerCall)
	for s := t.step; s < end; {
		n := int64(1)
		if (s-t.feed.from)%k == 0 && s+k <= end && !t.eventWithin(s, s+k) && t.feed.alike(s, s+k) {
			n = k
		}
		calls = append(calls, call{s, int(n)})
		s += n
	}
	return
}

// eventWithin tells whether something happens after a step strictly between from and to.
func (t *Trainer) eventWithin(from, to int64) bool {
	for _, every := range []int64{t.Config.Snapshots.Every, t.Config.Valid.Every} {
		if every > 0 && from/every != (to-1)/every {
			return true
		}
	}
	for _, s := range t.Config.exports() {
		if s > from && s < to {
			return true
		}
	}
	return false
}

// events validates, exports and saves after a step as configured.
func (t *Trainer) events(ctx context.Context, log *log) error {
	if t.validates() {
		if err := t.validate(ctx, log); err != nil {
			return err
		}
	}
	for _, s := range t.Config.exports() {
		if s == t.step {
			if err := t.exportAll(fmt.Sprintf("step-%d", s)); err != nil {
				return err
			}
		}
	}
	if t.step == t.Config.Total() {
		if err := t.exportAll("final"); err != nil {
			return err
		}
	}
	if t.due(t.Config.Snapshots.Every) {
		return t.Save()
	}
	return nil
}

func (t *Trainer) validates() bool { return t.Config.Valid.Every >= 0 && t.due(t.Config.Valid.Every) }

// due tells whether what happens every so many steps, and at the end, happens now.
func (t *Trainer) due(every int64) bool {
	return every > 0 && t.step%every == 0 || t.step == t.Config.Total()
}

// String is one line for a progress display.
func (s Status) String() string {
	var loss, norm []string
	for i := range s.Loss {
		loss, norm = append(loss, fmt.Sprintf("%.4f", s.Loss[i])), append(norm, fmt.Sprintf("%.2f", s.GradNorm[i]))
	}
	line := fmt.Sprintf("step %d of %d, loss %s, gradient %s", s.Step, s.Steps, strings.Join(loss, " "), strings.Join(norm, " "))
	if s.Memory > 0 {
		line += ", memory " + gigabytes(s.Memory)
	}
	return line
}

func (t *Trainer) status(r Results) Status {
	s := Status{Step: t.step, Steps: t.Config.Total(), Tokens: t.step * int64(t.Config.BatchTokens*len(t.program.members)), Memory: xla.Resident()}
	for i, l := range r.Loss[len(r.Loss)-1] {
		s.Loss = append(s.Loss, float64(l))
		s.GradNorm = append(s.GradNorm, float64(r.GradNorm[len(r.GradNorm)-1][i]))
	}
	return s
}

func (t *Trainer) say(format string, args ...any) {
	if t.Message != nil {
		t.Message(fmt.Sprintf(format, args...))
	}
}

// exports lists the log-spaced steps before the end whose weights are exported.
func (c Config) exports() (steps []int64) {
	total := c.Total()
	first := c.Export.First
	if first == 0 {
		first = max(1, total/32)
	}
	for i := range c.Export.Ladder {
		s := int64(math.Round(float64(first) * math.Pow(float64(total)/float64(first), float64(i)/float64(c.Export.Ladder))))
		if s < total && (len(steps) == 0 || s > steps[len(steps)-1]) {
			steps = append(steps, s)
		}
	}
	return
}
