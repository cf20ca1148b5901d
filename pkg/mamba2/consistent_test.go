package mamba2_test

import (
	"testing"

	"stuffed/pkg/arch/archtest"
	"stuffed/pkg/mamba2"
	"stuffed/xla"
)

func TestConsistent(t *testing.T) {
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	c := mamba2.Default(16, 2, 24)
	c.HeadDim, c.State, c.Groups, c.Chunk = 8, 4, 2, 4
	archtest.Consistent(t, d, c)
}
