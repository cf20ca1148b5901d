package toy_test

import (
	"testing"

	"stuffed/pkg/arch/archtest"
	"stuffed/pkg/arch/toy"
	"stuffed/xla"
)

func config() toy.Config {
	c := toy.Default()
	c.Vocab = 24
	return c
}

func TestToyIsConsistent(t *testing.T) {
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	archtest.Consistent(t, d, config())
}
