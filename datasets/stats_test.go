package datasets

import (
	"fmt"
	"testing"
)

func TestStatsEmpty(t *testing.T) {
	c, err := FromDocuments("none", nil)
	if err != nil {
		t.Fatal(err)
	}
	if rows, err := Stats(c, nil); err == nil {
		t.Error(rows)
	}
}

func ExampleStats() {
	c, err := Embedded()
	if err != nil {
		panic(err)
	}
	rows, err := Stats(c, nil)
	if err != nil {
		panic(err)
	}
	for _, r := range rows {
		fmt.Println(r.Domain, r.Split, r.Documents, r.Bytes, r.AtLeast[2])
	}
	// Output:
	// code train 42 4954137 28
	// code valid 5 479525 3
	// code test 7 676832 4
	// prose train 22 7128103 11
	// prose valid 6 2046676 3
	// prose test 7 1058410 4
	// all all 89 16343683 53
}
