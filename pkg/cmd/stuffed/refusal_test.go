package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"stuffed/pkg/study"
)

// A run that is refused leaves nothing behind that would refuse the right one.
func TestRefusedRunsLeaveNothing(t *testing.T) {
	recall, bytes := recallModel(t), smallModel(t)
	for name, c := range map[string]struct {
		command *cobra.Command
		wrong   string
		args    []string
	}{
		"kind of intervention": {interveneCommand(), "nonsense", []string{"--model", recall, "--backend", "go", "--kind", "nonsense", "--doses", "1", "--heads", "top:1"}},
		"dose out of range":    {interveneCommand(), "dose", []string{"--model", recall, "--backend", "go", "--kind", "alpha_clamp_high", "--doses", "7", "--heads", "top:1"}},
		"ending of loss":       {lossCommand(), ".xlsx", []string{"--model", bytes, "--backend", "go", "--kind", "newlines", "--length", "32", "--output", "l.xlsx"}},
		"ending of trace":      {traceCommand(), ".xlsx", []string{"--model", bytes, "--backend", "go", "--kind", "newlines", "--length", "32", "--output", "t.xlsx"}},
		"ending of passkey":    {passkeyCommand(), ".xlsx", []string{"--model", bytes, "--backend", "go", "--lengths", "256", "--depths", "2", "--output", "p.xlsx"}},
		"ending of mitigate":   {mitigateCommand(), ".xlsx", []string{"--model", recall, "--backend", "go", "--train-length", "8", "--gap", "4", "--keys", "24", "--values", "8", "--output", "m.xlsx"}},
	} {
		folder := t.TempDir()
		output := filepath.Join(folder, "z.csv")
		args := c.args
		if n := len(args); args[n-2] == "--output" {
			args[n-1] = filepath.Join(folder, args[n-1])
		} else {
			args = append(args, "--output", output, "--train-length", "8", "--gap", "4", "--keys", "24", "--values", "8", "--sequences", "2")
		}
		if err := runCommand(c.command, args...); err == nil || !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%s: %v", name, err)
		}
		if left, _ := os.ReadDir(folder); len(left) > 0 {
			t.Errorf("%s left %v", name, left)
		}
	}
}

// Two results that differ in their ending alone keep their own companions.
func TestCompanionsDoNotCollide(t *testing.T) {
	model, folder := smallModel(t), t.TempDir()
	for ending, count := range map[string]string{"csv": "1", "parquet": "2"} {
		output := filepath.Join(folder, "l."+ending)
		if err := runCommand(lossCommand(), "--model", model, "--backend", "go", "--kind", "random", "--count", count, "--length", "32", "--bucket", "8", "--output", output); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"l.csv", "l.parquet", "l.sources.csv", "l.sources.parquet", "l.csv.manifest.json", "l.parquet.manifest.json"} {
		if _, err := os.Stat(filepath.Join(folder, name)); err != nil {
			t.Error(err)
		}
	}
}

func TestStoppedCommandsSayHowToGoOn(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	if _, left := unfinished(ctx, context.Canceled); left {
		t.Error("nobody stopped it")
	}
	if text, left := unfinished(ctx, fmt.Errorf("%w: 3", study.ErrLeft)); !left || !strings.Contains(text, "3") {
		t.Error(text)
	}
	cancel()
	if text, left := unfinished(ctx, fmt.Errorf("trace of x: %w", context.Canceled)); !left || strings.Contains(text, "canceled") || !strings.Contains(text, "again") {
		t.Error(text)
	}
	if _, left := unfinished(ctx, errors.New("disk full")); left {
		t.Error("another error")
	}
}

// Where the disk is full, a command that saves as it goes says that it can go on; other errors and commands are left alone.
func TestFullDisksSayHowToGoOn(t *testing.T) {
	none := fmt.Errorf("e.csv: %w", &os.PathError{Op: "write", Path: "e.csv", Err: syscall.ENOSPC})
	if err := full(none, true); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "same flags") {
		t.Error(err)
	}
	if full(none, false) != none || full(io.EOF, true) != io.EOF {
		t.Error("another command, or another error")
	}
}

// A command that does not heed the order to stop is left after the grace; one that saves is waited for; one that ends says how it ended.
func TestStoppedCommandsEndSoon(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	saved, stuck := errors.New("saved"), make(chan struct{})
	defer close(stuck)
	if err := untilStopped(ctx, time.Millisecond, func() error { <-stuck; return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("stuck: %v", err)
	}
	slow := func() error { time.Sleep(20 * time.Millisecond); return saved }
	if err := untilStopped(ctx, 0, slow); err != saved {
		t.Errorf("one that saves: %v", err)
	}
	if err := untilStopped(ctx, time.Hour, slow); err != saved {
		t.Errorf("within its time: %v", err)
	}
	if err := untilStopped(context.Background(), time.Nanosecond, slow); err != saved {
		t.Errorf("never stopped: %v", err)
	}
}

// Every signal that ends a command in good order gives the exit status that means "go on later".
func TestSignalsEndCommandsInOrder(t *testing.T) {
	model, folder := smallModel(t), t.TempDir()
	program := filepath.Join(folder, "stuffed")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for i, signal := range []syscall.Signal{syscall.SIGUSR1, syscall.SIGTERM, syscall.SIGINT} {
		output := filepath.Join(folder, fmt.Sprintf("l%d.csv", i))
		c := exec.Command(program, "loss", "--model", model, "--backend", "go", "--kind", "random", "--length", "1M", "--piece", "64", "--output", output)
		var log strings.Builder
		c.Stderr = &log
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		for range 6000 { // until it is at work, on a busy machine too
			if _, err := os.Stat(output + ".manifest.json"); err == nil {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		if err := c.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		err := c.Wait()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != exitUnfinished || !strings.Contains(log.String(), "again") {
			t.Errorf("%v: %v, %s", signal, err, log.String())
		}
	}
}

// Folders that the examples of the help read are in the repository, or made by an example before (out/…).
func TestExamplesNameWhatIsThere(t *testing.T) {
	path := regexp.MustCompile(`(?:[\w.-]+/)+[\w.-]+`)
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for _, p := range path.FindAllString(c.Example, -1) {
			if first, _, _ := strings.Cut(p, "/"); first == "out" || first == "org" || strings.Contains(first, "-") {
				continue // made by the user, or a name on the hub
			}
			if !there(filepath.Join("../../..", p)) {
				t.Errorf("%s: %s is not there", c.CommandPath(), p)
			}
		}
		for _, below := range c.Commands() {
			walk(below)
		}
	}
	for _, c := range commands {
		walk(c())
	}
}

// there tells whether a file, a folder, or a model that the index beside it names exists.
func there(path string) bool {
	if _, err := os.Stat(path); err == nil {
		return true
	}
	index, err := os.ReadFile(filepath.Join(filepath.Dir(path), "index.json"))
	return err == nil && strings.Contains(string(index), `"`+filepath.Base(path)+`"`)
}

// A mistyped folder of studies must not turn every verdict of a list into "no result yet".
func TestClaimsWithoutStudiesAreRefused(t *testing.T) {
	const before = "<!-- claims -->\nverdicts\n<!-- /claims -->\n"
	list := filepath.Join(t.TempDir(), "RESULTS.md")
	if err := os.WriteFile(list, []byte(before), 0o666); err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(t.TempDir(), "no-such-folder")
	err := runCommand(studyClaims(), "--root", root, "--results", list)
	if err == nil || !strings.Contains(err.Error(), root) || !strings.Contains(err.Error(), "study collect") {
		t.Errorf("%v", err)
	}
	if data, err := os.ReadFile(list); err != nil || string(data) != before {
		t.Errorf("the list is now %q, %v", data, err)
	}
}

// A model that was not trained has no training length: what reads in multiples of it refuses at once, rather than read whole documents for hours.
func TestCommandsThatNeedATrainingLengthRefuseWithout(t *testing.T) {
	for name, c := range map[string]struct {
		command *cobra.Command
		args    []string
	}{
		"probes":  {probesCommand(), []string{"--model", "preset:byte"}},
		"matched": {matchedCommand(), []string{"--lower", "preset:byte"}},
		"memory":  {memoryCommand(), []string{"--model", "preset:byte"}},
		"bounded": {boundedCommand(), []string{"--model", "preset:byte"}},
	} {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		c.command.SetArgs(append(c.args, "--backend", "go", "--output", filepath.Join(t.TempDir(), "o.csv")))
		c.command.SilenceUsage, c.command.SilenceErrors = true, true
		err := c.command.ExecuteContext(ctx)
		cancel()
		if err == nil || !strings.Contains(err.Error(), "preset:byte has no training length") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
