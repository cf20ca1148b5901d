package study

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"stuffed/pkg/atomic"
)

// Job is a Slurm array job whose tasks are workers on one store. A task works on rows one at a time, whatever their size. Shortly before its
// time limit it releases its current row, and Slurm requeues the task.
type Job struct {
	Name      string   `json:"name"`
	Tasks     int      `json:"tasks"`   // number of array tasks
	AtOnce    int      `json:"at_once"` // limit on concurrently running tasks, 0: none
	Partition string   `json:"partition,omitempty"`
	GPUs      int      `json:"gpus"`             // per task
	CPUs      int      `json:"cpus,omitempty"`   // per task, 0: Slurm's default
	Memory    string   `json:"memory,omitempty"` // per task, such as 32G
	Time      string   `json:"time"`             // limit per task in Slurm's format, such as 2:00:00
	Warn      int      `json:"warn"`             // seconds before the time limit at which a task stops
	Restarts  int      `json:"restarts"`         // maximum number of requeues per task
	Extra     []string `json:"extra,omitempty"`  // further sbatch options, such as --account=mine
	Dir       string   `json:"-"`                // working directory
	Log       string   `json:"-"`                // folder for logs
	Command   []string `json:"-"`                // command line of a worker
}

var arrayForm = regexp.MustCompile(`^([1-9][0-9]{0,4})(?:%([1-9][0-9]{0,4}))?$`)

// ParseArray parses the number of tasks and an optional limit on concurrent ones: "8%4" or "8".
func (j *Job) ParseArray(text string) error {
	m := arrayForm.FindStringSubmatch(text)
	if m == nil {
		return fmt.Errorf("--array is %q; give the number of tasks and how many may run at once, such as 8%%4, or 8", text)
	}
	j.Tasks, _ = strconv.Atoi(m[1]) // digits only
	j.AtOnce, _ = strconv.Atoi(m[2])
	return nil
}

// timeForms are the time formats of sbatch: minutes, minutes:seconds, hours:minutes:seconds, days-hours and so on.
var timeForms = regexp.MustCompile(`^([0-9]+(:[0-9]{2}){0,2}|[0-9]+-[0-9]+(:[0-9]{2}){0,2})$`)

// seconds is the time limit of a task, which must match timeForms.
func (j *Job) seconds() (total int) {
	days, clock, whole := strings.Cut(j.Time, "-")
	units := []int{60, 1} // minutes, seconds
	if !whole {
		clock, days = j.Time, "0"
	}
	parts := strings.Split(clock, ":")
	if whole || len(parts) == 3 {
		units = []int{3600, 60, 1}
	}
	for i, part := range parts {
		n, _ := strconv.Atoi(part) // digits only
		total += n * units[i]
	}
	n, _ := strconv.Atoi(days)
	return total + n*86400
}

// Validate reports settings that Slurm would reject or misinterpret.
func (j *Job) Validate() error {
	switch {
	case j.Tasks < 1:
		return fmt.Errorf("array: %d tasks, want at least 1", j.Tasks)
	case !timeForms.MatchString(j.Time):
		return fmt.Errorf("--time is %q; give minutes, hours:minutes:seconds or days-hours, such as 2:00:00", j.Time)
	case j.GPUs < 0 || j.CPUs < 0:
		return fmt.Errorf("a task has %d GPUs and %d CPUs; give 0 or more", j.GPUs, j.CPUs)
	case j.Warn < 0 || j.Warn > 65535:
		return fmt.Errorf("--warn is %d seconds, want 0 to 65535", j.Warn)
	case j.Warn >= j.seconds():
		return fmt.Errorf("--warn is %d seconds, but a task has only %d: it would stop before it works; lower --warn or raise --time", j.Warn, j.seconds())
	case j.Restarts < 0:
		return fmt.Errorf("--restarts is %d, want 0 or more", j.Restarts)
	}
	for _, o := range j.Extra {
		if !strings.HasPrefix(o, "-") || strings.ContainsAny(o, "\n\r") {
			return fmt.Errorf("--sbatch is %q; give an option of sbatch, such as --account=mine", o)
		}
	}
	return nil
}

// Script is the batch script. A worker exits with status 3 if rows are left.
func (j *Job) Script() string {
	var b strings.Builder
	b.WriteString("#!/bin/bash\n")
	option := func(format string, args ...any) { fmt.Fprintf(&b, "#SBATCH "+format+"\n", args...) }
	option("--job-name=%s", j.Name)
	array := fmt.Sprintf("0-%d", j.Tasks-1)
	if j.AtOnce > 0 {
		array += fmt.Sprintf("%%%d", j.AtOnce)
	}
	option("--array=%s", array)
	if j.Partition != "" {
		option("--partition=%s", j.Partition)
	}
	if j.GPUs > 0 {
		option("--gres=gpu:%d", j.GPUs)
	}
	if j.CPUs > 0 {
		option("--cpus-per-task=%d", j.CPUs)
	}
	if j.Memory != "" {
		option("--mem=%s", j.Memory)
	}
	option("--time=%s", j.Time)
	option("--signal=B:USR1@%d", j.Warn)
	option("--requeue")
	option("--open-mode=append")
	option("--output=%s", strconv.Quote(filepath.Join(j.Log, "%A_%a.log")))
	for _, o := range j.Extra {
		option("%s", o)
	}
	fmt.Fprintf(&b, jobBody, quoted(j.Dir), j.Restarts, quoted(j.Command...))
	return b.String()
}

const jobBody = `
# Stopped by USR1 (time is nearly up) or TERM, the worker gives its row back and ends with status 3; so it does when rows are left.
cd %s || exit 1
restarts=%d
task=${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}
echo "task $task on $(hostname), restart ${SLURM_RESTART_COUNT:-0}, GPUs ${CUDA_VISIBLE_DEVICES:-none}"
%s &
worker=$!
trap 'kill -TERM $worker 2>/dev/null' USR1 TERM
wait $worker; status=$?
while kill -0 $worker 2>/dev/null; do wait $worker; status=$?; done
[ $status = 3 ] || exit $status
case $(scontrol show job -o "$task" 2>/dev/null) in
*JobState=CANCELLED*) exit $status ;;
esac
if [ "${SLURM_RESTART_COUNT:-0}" -ge "$restarts" ]; then
    echo "rows are left after $restarts restarts: a row may need longer than the time of a task"
    exit $status
fi
echo "rows are left: back into the queue"
scontrol requeue "$task"
`

// quoted quotes a command for the shell.
func quoted(args ...string) string {
	out := make([]string, len(args))
	for i, a := range args {
		out[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
	}
	return strings.Join(out, " ")
}

var errNoSlurm = errors.New("sbatch was not found: this machine has no Slurm. Submit from a login node of the cluster (on Debian, " +
	"apt-get install slurm-client and a slurm.conf), or work on the rows here with stuffed study run --workers N; --dry-run prints the job script")

// Submit passes the script to sbatch, records the job in the store and returns its id.
func (s *Store) Submit(ctx context.Context, j *Job) (string, error) {
	if err := j.Validate(); err != nil {
		return "", err
	}
	sbatch, err := exec.LookPath("sbatch")
	if err != nil {
		return "", errNoSlurm
	}
	if err := os.MkdirAll(j.Log, 0o755); err != nil {
		return "", fmt.Errorf("store: %w", err)
	}
	c := exec.CommandContext(ctx, sbatch, "--parsable")
	c.Stdin = strings.NewReader(j.Script())
	var out, complaint bytes.Buffer
	c.Stdout, c.Stderr = &out, &complaint
	if err := c.Run(); err != nil {
		return "", fmt.Errorf("sbatch: %w: %s", err, strings.TrimSpace(complaint.String()))
	}
	id, _, _ := strings.Cut(strings.TrimSpace(out.String()), ";") // id;cluster
	data, err := json.Marshal(j)
	if err != nil {
		return id, err
	}
	return id, atomic.Bytes(s.path("jobs", id+".json"), append(data, '\n'))
}

// Forgive clears the failure records of rows, so that workers retry them, and returns their number.
func (s *Store) Forgive(rows []Row) (n int, err error) {
	failed, err := s.failures()
	if err != nil {
		return 0, err
	}
	for _, row := range rows {
		if failed[row.Hash] {
			if err := os.Remove(s.path("failed", row.Hash+".json")); err != nil {
				return n, fmt.Errorf("store: %w", err)
			}
			n++
		}
	}
	return n, nil
}
