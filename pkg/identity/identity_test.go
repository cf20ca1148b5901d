package identity

import (
	"encoding/json"
	"fmt"
	"testing"
)

type inner struct {
	Low  float64 `json:"low"`
	High float64 `json:"high,omitempty"`
	New  string  `json:"new" hash:"unless-default"`
}

type config struct {
	Width  int      `json:"width"`
	Range  inner    `json:"range"`
	List   []inner  `json:"list"`
	Names  []string `json:"names,omitempty"`
	Secret int      `json:"-"`
	Beta   float64  `json:"beta" hash:"unless-default"`
}

var defaults = config{Width: 4, Range: inner{New: "a"}, Beta: 0.9}

// A struct without tags hashes like its JSON; tagged fields appear only away from their defaults.
func TestJSON(t *testing.T) {
	c := defaults
	for _, step := range []struct {
		change func()
		want   string
	}{
		{func() {}, `{"width":4,"range":{"low":0},"list":null}`},
		{func() { c.Width = 2; c.Secret = 5 }, `{"width":2,"range":{"low":0},"list":null}`},
		{func() { c.Beta = 0.95 }, `{"width":2,"range":{"low":0},"list":null,"beta":0.95}`},
		{func() { c.Range.New = "<b>" }, `{"width":2,"range":{"low":0,"new":"\u003cb\u003e"},"list":null,"beta":0.95}`},
		{func() { c.List = []inner{{Low: 1e-7}, {New: "c"}} }, `{"width":2,"range":{"low":0,"new":"\u003cb\u003e"},"list":[{"low":1e-7},{"low":0,"new":"c"}],"beta":0.95}`},
	} {
		step.change()
		got, err := JSON(c, defaults)
		if err != nil || string(got) != step.want {
			t.Errorf("got %s (%v), want %s", got, err, step.want)
		}
	}
	old := struct {
		Width int    `json:"width"`
		Text  string `json:"text"`
	}{3, "é & <"}
	plain, err := json.Marshal(old)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := JSON(old, old); err != nil || string(got) != string(plain) {
		t.Errorf("got %s (%v), want %s", got, err, plain)
	}
}

func TestBadInput(t *testing.T) {
	if _, err := JSON(config{}, inner{}); err == nil {
		t.Error("defaults of another type passed")
	}
}

func ExampleHash() {
	type grown struct {
		Width int    `json:"width"`
		Gate  string `json:"gate" hash:"unless-default"`
	}
	type before struct {
		Width int `json:"width"`
	}
	defaults := grown{Gate: "silu"}
	fmt.Println(Hash(grown{2, "silu"}, defaults) == Hash(before{2}, before{}))
	fmt.Println(Hash(grown{2, "none"}, defaults) == Hash(before{2}, before{}))
	// Output:
	// true
	// false
}
