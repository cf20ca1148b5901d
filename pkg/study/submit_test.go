package study

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func job(dir string, command ...string) *Job {
	return &Job{Name: "stuffed-x", Tasks: 8, AtOnce: 4, Partition: "gpu", GPUs: 1, Time: "2:00:00", Warn: 120, Restarts: 2,
		Extra: []string{"--account=mine"}, Dir: dir, Log: filepath.Join(dir, "jobs"), Command: command}
}

// programs puts shell scripts with these names first in PATH.
func programs(t *testing.T, scripts map[string]string) {
	t.Helper()
	dir := t.TempDir()
	for name, body := range scripts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/bash\n"+body), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":/usr/bin:/bin")
}

func TestJobScript(t *testing.T) {
	j := job("/work place", "/bin/stuffed", "study", "run", "it's")
	script := j.Script()
	for _, want := range []string{"#SBATCH --array=0-7%4\n", "#SBATCH --gres=gpu:1\n", "#SBATCH --partition=gpu\n", "#SBATCH --time=2:00:00\n",
		"#SBATCH --signal=B:USR1@120\n", "#SBATCH --requeue\n", "#SBATCH --account=mine\n", `--output="/work place/jobs/%A_%a.log"`,
		"cd '/work place' ", `'/bin/stuffed' 'study' 'run' 'it'\''s' &`} {
		if !strings.Contains(script, want) {
			t.Errorf("no %q in\n%s", want, script)
		}
	}
	for time, want := range map[string]int{"90": 5400, "2:30": 150, "2:00:00": 7200, "1-12": 129600, "1-00:30": 88200, "1-00:00:05": 86405} {
		if got := (&Job{Time: time}).seconds(); got != want {
			t.Errorf("time %s is %d seconds, want %d", time, got, want)
		}
	}
	j.Partition, j.GPUs, j.AtOnce = "", 0, 0
	if script = j.Script(); strings.Contains(script, "partition") || strings.Contains(script, "gres") || !strings.Contains(script, "--array=0-7\n") {
		t.Errorf("options that were not given in\n%s", script)
	}
}

func TestBadJobs(t *testing.T) {
	j := &Job{}
	for _, text := range []string{"", "0", "8%", "8%0", "-1", "8%4%2", "a"} {
		if err := j.ParseArray(text); err == nil || !strings.Contains(err.Error(), "8%4") {
			t.Errorf("array %q: %v", text, err)
		}
	}
	if err := j.ParseArray("12%3"); err != nil || j.Tasks != 12 || j.AtOnce != 3 {
		t.Errorf("%+v, %v", j, err)
	}
	for want, change := range map[string]func(j *Job){
		"--time": func(j *Job) { j.Time = "2h" },
		"--warn is 120 seconds, but a task has only 60": func(j *Job) { j.Time = "1" },
		"GPUs":      func(j *Job) { j.GPUs = -1 },
		"--warn":    func(j *Job) { j.Warn = -1 },
		"--sbatch":  func(j *Job) { j.Extra = []string{"account=mine"} },
		"array":     func(j *Job) { j.Tasks = 0 },
		"--restart": func(j *Job) { j.Restarts = -1 },
	} {
		j := job(t.TempDir())
		change(j)
		if err := j.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestSubmitAndStatus(t *testing.T) {
	s := testStore(t, t.TempDir())
	t.Setenv("PATH", t.TempDir())
	if _, err := s.Submit(context.Background(), job(s.Dir)); !errors.Is(err, errNoSlurm) || !strings.Contains(err.Error(), "--workers") {
		t.Errorf("without Slurm: %v", err)
	}
	seen := filepath.Join(t.TempDir(), "script")
	programs(t, map[string]string{
		"sbatch":   "cat >" + seen + "; echo '17;cluster'\n",
		"squeue":   "echo RUNNING; echo PENDING; echo PENDING\n",
		"sacct":    "echo 'Slurm accounting storage is disabled' >&2; exit 1\n",
		"scontrol": "echo 'JobId=18 ArrayJobId=17 JobState=COMPLETED Reason=None'; echo 'JobId=19 JobState=RUNNING Reason=None'\n",
	})
	j := job(s.Dir, "stuffed")
	id, err := s.Submit(context.Background(), j)
	if err != nil || id != "17" {
		t.Fatalf("%q, %v", id, err)
	}
	if text, err := os.ReadFile(seen); err != nil || string(text) != j.Script() {
		t.Errorf("sbatch was given %q, %v", text, err)
	}
	var b strings.Builder
	if err := s.PrintJobs(context.Background(), &b); err != nil || b.String() != "Slurm job 17: 1 completed, 2 pending, 1 running\n" {
		t.Errorf("%q, %v", b.String(), err)
	}
	programs(t, map[string]string{"squeue": "exit 1\n", "sacct": "echo COMPLETED; echo 'CANCELLED by 7'; echo COMPLETED\n"})
	b.Reset()
	if err := s.PrintJobs(context.Background(), &b); err != nil || b.String() != "Slurm job 17: 1 cancelled, 2 completed\n" {
		t.Errorf("%q, %v", b.String(), err)
	}
	programs(t, map[string]string{"sbatch": "echo 'Invalid partition' >&2; exit 1\n"})
	if _, err := s.Submit(context.Background(), j); err == nil || !strings.Contains(err.Error(), "Invalid partition") {
		t.Errorf("a refusal: %v", err)
	}
}

// The script forwards the warning signal to the worker and requeues the job if rows are left, but only a limited number of times, and not if
// the user cancelled the job.
func TestScriptStopsAndRequeues(t *testing.T) {
	dir := t.TempDir()
	worker := filepath.Join(dir, "worker")
	if err := os.WriteFile(worker, []byte("#!/bin/bash\ntrap 'echo gave back; exit 3' TERM\ntouch "+dir+"/began\n[ \"$1\" = wait ] && while :; do sleep 0.05; done\nexit $1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	run := func(signal, argument, restart, state string) string {
		t.Helper()
		programs(t, map[string]string{"scontrol": "[ $1 = show ] && echo JobState=" + state + " || echo called \"$@\"\n"})
		_ = os.Remove(filepath.Join(dir, "began"))
		c := exec.Command("bash", "-c", job(dir, worker, argument).Script())
		c.Env = append(os.Environ(), "SLURM_ARRAY_JOB_ID=5", "SLURM_ARRAY_TASK_ID=2", "SLURM_RESTART_COUNT="+restart)
		var out strings.Builder
		c.Stdout, c.Stderr = &out, &out
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		for range 6000 { // until it is running, also on a busy machine
			if _, err := os.Stat(filepath.Join(dir, "began")); err == nil {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		if signal != "" {
			if err := exec.Command("bash", "-c", "kill -"+signal+" $0", strconv.Itoa(c.Process.Pid)).Run(); err != nil {
				t.Fatal(err)
			}
		}
		_ = c.Wait() // its exit status does not matter
		return out.String()
	}
	const requeued = "called requeue 5_2"
	for _, signal := range []string{"USR1", "TERM"} {
		if out := run(signal, "wait", "0", "RUNNING"); !strings.Contains(out, "gave back") || !strings.Contains(out, requeued) {
			t.Errorf("%s: %s", signal, out)
		}
	}
	if out := run("TERM", "wait", "0", "CANCELLED"); !strings.Contains(out, "gave back") || strings.Contains(out, requeued) {
		t.Errorf("cancelled: %s", out)
	}
	if out := run("USR1", "wait", "2", "RUNNING"); strings.Contains(out, requeued) || !strings.Contains(out, "longer than the time") {
		t.Errorf("after all restarts: %s", out)
	}
	for _, status := range []string{"0", "1"} {
		if out := run("", status, "0", "RUNNING"); strings.Contains(out, requeued) {
			t.Errorf("a worker that ended with status %s: %s", status, out)
		}
	}
}

func TestFailedRowsAreForgiven(t *testing.T) {
	s, rows := testStore(t, t.TempDir()), testRows(t, 3)
	w := Worker{Store: s, Runner: failing{state: 2}}
	if sum, err := w.Run(context.Background(), rows); err != nil || sum.Failed != 1 {
		t.Fatalf("%+v, %v", sum, err)
	}
	if n, err := s.Forgive(rows); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	w.Runner = slow{}
	if sum, err := w.Run(context.Background(), rows); err != nil || sum.Done != 3 {
		t.Errorf("%+v, %v", sum, err)
	}
	wantWhole(t, s, rows)
}
