package rwkv6_test

import (
	"testing"

	"stuffed/pkg/arch/archtest"
	"stuffed/pkg/arch/rwkv6"
	"stuffed/xla"
)

func TestConsistent(t *testing.T) {
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	c := rwkv6.Default(12, 2, 24)
	c.Head, c.MixRank, c.DecayRank, c.Intermediate = 4, 3, 5, 20
	archtest.Consistent(t, d, c)
}
