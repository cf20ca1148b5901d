package prompt

import "testing"

func TestParseDepths(t *testing.T) {
	for _, bad := range []string{"", "x", "-3", "0.5,1.5", "NaN", "20000"} {
		if d, err := ParseDepths(bad); err == nil {
			t.Errorf("depths %q gave %v", bad, d)
		}
	}
	for text, want := range map[string]int{"1": 1, "10": 10, "0": 1, "0,0.5,1": 3, "0.25": 1} {
		if d, err := ParseDepths(text); err != nil || len(d) != want {
			t.Errorf("depths %q: %v, %v", text, d, err)
		}
	}
}
