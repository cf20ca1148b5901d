package study

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"stuffed/xla"
)

// RowStatus is the state of one row.
type RowStatus struct {
	Row
	State    string   `json:"state"` // done, running, failed or open
	Seconds  float64  `json:"seconds,omitempty"`
	Progress Progress `json:"progress"`
	Error    string   `json:"error,omitempty"`
}

// Status returns the state of every row, in the given order.
func (s *Store) Status(rows []Row) ([]RowStatus, error) {
	done, err := s.done()
	if err != nil {
		return nil, err
	}
	failed, err := s.failures()
	if err != nil {
		return nil, err
	}
	out := make([]RowStatus, len(rows))
	for i, row := range rows {
		out[i] = RowStatus{Row: row, State: "open"}
		if done[row.Hash] {
			out[i].State = "done"
			if out[i].Seconds, err = s.seconds(row.Hash); err != nil {
				return nil, fmt.Errorf("row %s: %w", row.Hash, err)
			}
			continue
		}
		number, held, err := s.holder(row.Hash)
		switch {
		case err != nil:
			return nil, err
		case held:
			out[i].State, out[i].Progress = "running", s.progressOf(row.Hash, number)
		case failed[row.Hash]:
			out[i].State, out[i].Error = "failed", s.failure(row.Hash)
		}
	}
	return out, nil
}

func (s *Store) failure(hash string) string {
	var f struct{ Error string }
	data, err := os.ReadFile(s.path("failed", hash+".json"))
	if err == nil {
		err = json.Unmarshal(data, &f)
	}
	if err != nil {
		return err.Error()
	}
	return f.Error
}

// Estimate predicts how long open and running rows will take, shared among workers. It uses the measured speed of finished rows, or speed
// (operations per second) if there are none; measured reports which.
func Estimate(status []RowStatus, speed float64, workers int) (left time.Duration, measured bool) {
	var done, seconds, open float64
	for _, r := range status {
		work := r.Config.Work()
		switch r.State {
		case "done":
			done, seconds = done+work, seconds+r.Seconds
		case "running":
			if p := r.Progress; p.Total > 0 {
				work *= 1 - float64(p.Done)/float64(p.Total)
			}
			open += work
		case "open":
			open += work
		}
	}
	if measured = seconds > 0 && done > 0; measured {
		speed = done / seconds
	}
	return time.Duration(open / speed / float64(max(workers, 1)) * float64(time.Second)), measured
}

// Speed is a rough guess of operations per second on small models for a kind of backend, used until a row is done.
func Speed(kind string) float64 {
	switch kind {
	case "cuda":
		return 60e12
	case "cpu":
		return 4e9
	}
	return 1e9
}

// PrintPlan prints the rows with their work, the device memory that each takes on a kind of device, and the terms of the estimate.
func PrintPlan(w io.Writer, p *Plan, status []RowStatus, speed float64, kind string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%s: %s\n", p.Name, p.About)
	fmt.Fprintln(t, "row\tstate\twhat\ttrained\tmeasured\twork\tmemory")
	var trained, measured, work float64
	for _, r := range status {
		c := r.Config
		trained, measured, work = trained+float64(c.Trained()), measured+float64(c.Evaluated()), work+c.Work()
		fmt.Fprintf(t, "%s\t%s\t%s\t%.0fM\t%.0fM\t%.2f PFLOP\t%s\n", r.Hash, r.State, r.Label, float64(c.Trained())/1e6, float64(c.Evaluated())/1e6, c.Work()/1e15,
			xla.Bytes(c.Memory(kind)))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	left, known := Estimate(status, speed, 1)
	source := fmt.Sprintf("assuming %.3g FLOP/s", speed)
	if known {
		source = "at the speed of the rows that are done"
	}
	_, err := fmt.Fprintf(w, "%d rows, %.0fM tokens trained, %.0fM measured, %.3g PFLOP; about %s left on one device, %s, compilation not counted; memory is that of a "+
		kind+" device for one worker, good to a factor of two\n",
		len(status), trained/1e6, measured/1e6, work/1e15, left.Round(time.Second), source)
	return err
}

// PrintStatus prints one line per row and a summary line.
func PrintStatus(w io.Writer, status []RowStatus, left time.Duration) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "row\tstate\twhat\ttime or progress")
	count := map[string]int{}
	for _, r := range status {
		count[r.State]++
		note := ""
		switch r.State {
		case "done":
			note = fmt.Sprintf("%.1f s", r.Seconds)
		case "running":
			note = "starting"
			if p := r.Progress; p.Total > 0 {
				note = fmt.Sprintf("%d %% of %d %s", 100*p.Done/p.Total, p.Total, p.Unit)
			}
		case "failed":
			note = r.Error
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", r.Hash, r.State, r.Label, note)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%d rows: %d done, %d running, %d failed, %d open; about %s of work left\n", len(status),
		count["done"], count["running"], count["failed"], count["open"], left.Round(time.Second))
	return err
}
