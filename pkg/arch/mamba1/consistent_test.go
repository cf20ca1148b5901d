package mamba1_test

import (
	"testing"

	"stuffed/pkg/arch/archtest"
	"stuffed/pkg/arch/mamba1"
	"stuffed/xla"
)

func TestConsistent(t *testing.T) {
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	c := mamba1.Default(8, 2, 24)
	c.State, c.Chunk = 4, 4
	archtest.Consistent(t, d, c)
}
