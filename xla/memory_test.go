package xla

import (
	"os"
	"path/filepath"
	"testing"
)

func TestMemoryOfTheMachineAndItsLimit(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	info := put("info", "MemTotal:       16384 kB\nMemFree:         1024 kB\n")
	for _, c := range []struct {
		limit string
		want  int64
	}{{"max\n", 16 << 20}, {"1048576\n", 1 << 20}, {"9223372036854771712\n", 16 << 20}} {
		if got := machineMemory(info, put("limit", c.limit), filepath.Join(dir, "missing")); got != c.want {
			t.Errorf("limit %q: %d bytes, want %d", c.limit, got, c.want)
		}
	}
	if got := machineMemory(filepath.Join(dir, "missing")); got != 0 {
		t.Errorf("unknown memory is %d", got)
	}
	d, err := Open("go")
	if err != nil {
		t.Fatal(err)
	}
	if got := d.Memory(); got < 64<<20 {
		t.Errorf("this machine has %s", Bytes(got))
	}
	if rate, err := d.ProductRate(); err != nil || !(rate > 0) {
		t.Errorf("product rate %g, %v", rate, err)
	}
}

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 10 << 30: "10 GiB"} {
		if got := Bytes(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
