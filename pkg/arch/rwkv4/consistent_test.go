package rwkv4_test

import (
	"testing"

	"stuffed/pkg/arch/archtest"
	"stuffed/pkg/arch/rwkv4"
	"stuffed/xla"
)

func TestConsistent(t *testing.T) {
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	c := rwkv4.Default(12, 2, 24)
	c.Chunk = 4
	archtest.Consistent(t, d, c)
}
