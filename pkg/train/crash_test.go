//go:build unix

package train

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"stuffed/pkg/checkpoint"
	"stuffed/xla"
)

// childVariable holds the job of a child process of a test: "train FOLDER" or "fill FOLDER".
const childVariable = "TRAIN_TEST_CHILD"

// KILLS sets the number of kills of TestKilledWhileSaving.
const killsVariable = "KILLS"

func TestMain(m *testing.M) {
	if job := os.Getenv(childVariable); job != "" {
		if err := child(job); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(3)
		}
		return
	}
	os.Exit(m.Run())
}

// child trains in a folder; for "fill" no file may grow beyond 8 KiB from step 4 on, as on a full disk.
func child(job string) error {
	kind, folder, _ := strings.Cut(job, " ")
	c, err := crashConfig(folder)
	if err != nil {
		return err
	}
	d, err := xla.Open("go")
	if err != nil {
		return err
	}
	t, err := Open(d, c)
	if err != nil {
		return err
	}
	if err := t.Begin(true, false); err != nil {
		return err
	}
	if kind == "fill" {
		signal.Ignore(syscall.SIGXFSZ)
		t.Notify = func(s Status) {
			if s.Step == 4 {
				if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 8 << 10, Max: 8 << 10}); err != nil {
					panic(err)
				}
			}
		}
	}
	return t.Run(context.Background())
}

func crashConfig(folder string) (Config, error) {
	c := DefaultConfig()
	err := c.Set("model.width=16", "model.head_dim=8", "model.state=4", "model.chunk=8", "data.keys=12", "data.values=4", "data.gap=4",
		"train_length=16", "batch_tokens=64", "steps=100000", "warmup=2", "log.every=1", "valid.every=-1", "policy=passed",
		"snapshots.every=1", "output="+folder)
	return c, err
}

func startChild(t *testing.T, job string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childVariable+"="+job)
	return cmd
}

// A process that saves all the time is killed at random moments: what is found is always a step that a run without
// interruption passes through, bit for bit.
func TestKilledWhileSaving(t *testing.T) {
	kills := 5
	if n, err := strconv.Atoi(os.Getenv(killsVariable)); err == nil {
		kills = n
	}
	folder := t.TempDir()
	c, err := crashConfig(folder)
	if err != nil {
		t.Fatal(err)
	}
	reference := start(t, "go", c)
	reference.Config.Output = ""
	random := rand.New(rand.NewPCG(1, uint64(kills)))
	for range kills {
		cmd := startChild(t, "train "+folder)
		before, err := checkpoint.Snapshots(c.snapshotRoot())
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			now, err := checkpoint.Snapshots(c.snapshotRoot())
			if err == nil && len(now) > 0 && (len(before) == 0 || now[len(now)-1] > before[len(before)-1]) {
				break
			}
		}
		time.Sleep(time.Duration(random.IntN(60_000)) * time.Microsecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		var killed *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &killed) || killed.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("the child ended by itself: %v", err)
		}
		found := start(t, "go", c)
		if err := found.Begin(true, false); err != nil {
			t.Fatal(err)
		}
		if found.Steps() <= reference.Steps() {
			t.Errorf("found step %d, which is not beyond the last find %d", found.Steps(), reference.Steps())
		}
		losses(t, reference, found.Steps())
		sameBits(t, bits(t, reference), bits(t, found))
	}
	t.Logf("%d kills, last found step %d", kills, reference.Steps())
}

func TestFullDisk(t *testing.T) {
	folder := t.TempDir()
	cmd := startChild(t, "fill "+folder)
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Run(); err == nil {
		t.Fatal("saving on a full disk succeeded")
	}
	for _, want := range []string{"step 4", "not saved", "--resume"} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("error %q does not say %q", said.String(), want)
		}
	}
	c, err := crashConfig(folder)
	if err != nil {
		t.Fatal(err)
	}
	found := start(t, "go", c)
	if err := found.Begin(true, false); err != nil || found.Steps() != 3 {
		t.Errorf("found step %d, error %v; want the snapshot of step 3", found.Steps(), err)
	}
	metrics, err := ReadMetrics(folder + "/metrics.jsonl")
	if err != nil || metrics.Rows() < 4 {
		t.Errorf("%d rows of metrics, error %v; want 4", metrics.Rows(), err)
	}
}
