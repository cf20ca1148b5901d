package study

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Jobs returns the ids of the jobs submitted for the store, oldest first.
func (s *Store) Jobs() (ids []string, err error) {
	files, err := filepath.Glob(s.path("jobs", "*.json"))
	for _, f := range files {
		ids = append(ids, strings.TrimSuffix(filepath.Base(f), ".json"))
	}
	slices.SortFunc(ids, func(a, b string) int {
		x, _ := strconv.Atoi(a)
		y, _ := strconv.Atoi(b)
		return x - y
	})
	return ids, err
}

// PrintJobs prints the state of the store's jobs: from squeue if pending or running, from sacct (or scontrol if there is no accounting) if
// finished. Without Slurm it prints only the ids.
func (s *Store) PrintJobs(ctx context.Context, w io.Writer) error {
	ids, err := s.Jobs()
	if err != nil || len(ids) == 0 {
		return err
	}
	if _, err := exec.LookPath("squeue"); err != nil {
		_, err = fmt.Fprintf(w, "submitted to Slurm as %s; squeue is not here to ask\n", strings.Join(ids, ", "))
		return err
	}
	for _, id := range ids {
		counts := jobStates(ctx, id)
		var parts []string
		for _, state := range slices.Sorted(maps.Keys(counts)) {
			parts = append(parts, fmt.Sprintf("%d %s", counts[state], strings.ToLower(state)))
		}
		if len(parts) == 0 {
			parts = []string{"no longer known to Slurm"}
		}
		if _, err := fmt.Fprintf(w, "Slurm job %s: %s\n", id, strings.Join(parts, ", ")); err != nil {
			return err
		}
	}
	return nil
}

var jobState = regexp.MustCompile(`\bJobState=([A-Z_]+)`)

// jobStates counts a job's tasks by state.
func jobStates(ctx context.Context, id string) map[string]int {
	counts := map[string]int{}
	lines := func(name string, args ...string) ([]string, error) {
		out, err := exec.CommandContext(ctx, name, args...).Output()
		return strings.FieldsFunc(string(out), func(r rune) bool { return r == '\n' }), err
	}
	waiting, _ := lines("squeue", "--noheader", "--array", "--jobs", id, "--format", "%T") // an error means that no task is pending or running
	for _, state := range waiting {
		counts[strings.TrimSpace(state)]++
	}
	ended, err := lines("sacct", "--noheader", "--allocations", "--parsable2", "--jobs", id, "--format", "State")
	if err != nil { // no accounting
		ended = nil
		shown, _ := lines("scontrol", "show", "job", "--oneliner", id)
		for _, line := range shown {
			if m := jobState.FindStringSubmatch(line); m != nil {
				ended = append(ended, m[1])
			}
		}
	}
	for _, line := range ended {
		state, _, _ := strings.Cut(strings.TrimSpace(line), " ") // as in "CANCELLED by 1000"
		if !slices.Contains(waitingStates, state) {
			counts[state]++
		}
	}
	return counts
}

// waitingStates are the states that squeue reports.
var waitingStates = []string{"PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "SUSPENDED", "STAGE_OUT"}
