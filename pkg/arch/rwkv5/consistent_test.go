package rwkv5_test

import (
	"testing"

	"stuffed/pkg/arch/archtest"
	"stuffed/pkg/arch/rwkv5"
	"stuffed/xla"
)

func TestConsistent(t *testing.T) {
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	c := rwkv5.Default(12, 2, 24)
	c.Head, c.Chunk = 4, 16
	archtest.Consistent(t, d, c)
}
