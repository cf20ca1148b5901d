package xla

import "testing"

func TestHardwareHasAName(t *testing.T) {
	d, err := Open("go")
	if err != nil {
		t.Fatal(err)
	}
	if name := d.Hardware(); len(name) < 5 {
		t.Errorf("hardware %q", name)
	}
	if v := entry("/does/not/exist", "model name"); v != "" {
		t.Errorf("a file that is not there says %q", v)
	}
}
