package attend

import "fmt"

// Rotary takes what config.json says of rotary positions, in rope_parameters (transformers 5) or rope_scaling (before), over theta and,
// where it is not nil, the share of a head that is turned. Anything but plain positions is an error, whichever of its two names the
// kind has.
func Rotary(keys map[string]any, theta, share *float64) error {
	for _, name := range []string{"rope_parameters", "rope_scaling"} {
		rope, _ := keys[name].(map[string]any)
		for _, key := range []string{"rope_type", "type"} {
			if kind := rope[key]; kind != nil && kind != "default" {
				return fmt.Errorf("config: %s of type %v: plain rotary positions are read only", name, kind)
			}
		}
		if v, ok := rope["rope_theta"].(float64); ok {
			*theta = v
		}
		if v, ok := rope["partial_rotary_factor"].(float64); ok && share != nil {
			*share = v
		}
	}
	return nil
}
