package share

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"
)

// TestMain doubles as the other process: it enters the device "x" and stays until it is killed.
func TestMain(m *testing.M) {
	if os.Getenv("SHARE_TEST_STAY") == "" {
		os.Exit(m.Run())
	}
	_, err := Enter("x")
	fmt.Println("entered", err)
	time.Sleep(time.Minute)
}

// A worker sees those on its own device, also in other processes, until they leave or are killed.
func TestWorkersKnowOfEachOther(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	own, err := Enter("x")
	if err != nil {
		t.Fatal(err)
	}
	far, err := Enter("y/0")
	if err != nil {
		t.Fatal(err)
	}
	defer far.Leave()
	if own.Others() != 0 || Workers("x") != 1 {
		t.Errorf("alone: %d others, %d workers", own.Others(), Workers("x"))
	}
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), "SHARE_TEST_STAY=1")
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if line, _, err := bufio.NewReader(out).ReadLine(); string(line) != "entered <nil>" {
		t.Fatalf("%q, %v", line, err)
	}
	if own.Others() != 1 || Workers("x") != 2 || Workers("y/0") != 1 {
		t.Errorf("with another process: %d others, %d workers", own.Others(), Workers("x"))
	}
	_ = c.Process.Kill()
	_ = c.Wait()
	if own.Others() != 0 {
		t.Errorf("after a kill: %d others", own.Others())
	}
	own.Leave()
	if n := Workers("x"); n != 0 {
		t.Errorf("%d workers after the last left", n)
	}
}

// At most n have a turn at once; the next one waits for an end.
func TestTurns(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	first := Turn(t.Context(), "a", 2)
	second := Turn(t.Context(), "a", 2)
	defer second()
	Turn(t.Context(), "b", 1)()
	third := make(chan struct{})
	go func() {
		defer close(third)
		Turn(t.Context(), "a", 2)()
	}()
	select {
	case <-third:
		t.Fatal("three turns of two")
	case <-time.After(150 * time.Millisecond):
	}
	first()
	select {
	case <-third:
	case <-time.After(10 * time.Second):
		t.Fatal("no turn after an end")
	}
	again := Turn(t.Context(), "a", 2)
	defer again()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	Turn(ctx, "a", 2)() // returns although there is no turn
}

func ExampleSeat_Others() {
	seat, err := Enter("example")
	if err != nil {
		panic(err)
	}
	defer seat.Leave()
	fmt.Println(seat.Others(), "others")
	// Output: 0 others
}
