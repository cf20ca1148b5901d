package figure

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"stuffed/pkg/table"
)

// Compare returns an error that says where the points of figure id differ between two folders: other columns, rows or texts, or a number off
// by more than tolerance times the largest magnitude in its column.
func Compare(dir, other, id string, tolerance float64) error {
	if !(tolerance >= 0 && tolerance <= 1) {
		return fmt.Errorf("tolerance %v is not between 0 and 1", tolerance)
	}
	a, err := points(dir, id)
	if err != nil {
		return err
	}
	b, err := points(other, id)
	if err != nil {
		return err
	}
	if !slices.Equal(a.Names(), b.Names()) || a.Rows() != b.Rows() {
		return fmt.Errorf("figure %s: %d rows of %s, in %s %d rows of %s", id,
			a.Rows(), strings.Join(a.Names(), ", "), other, b.Rows(), strings.Join(b.Names(), ", "))
	}
	for _, c := range a.Columns {
		if err := compareColumn(a, b, c, tolerance); err != nil {
			return fmt.Errorf("figure %s: column %s: %w", id, c.Name, err)
		}
	}
	return nil
}

func points(dir, id string) (*table.Table, error) {
	if _, _, err := Load(dir, id); err != nil {
		return nil, err
	}
	return table.Read(filepath.Join(dir, id, id+".csv"))
}

func compareColumn(a, b *table.Table, c table.Column, tolerance float64) error {
	if c.Texts != nil {
		x, y := c.Texts, []string(nil)
		y, err := b.Text(c.Name)
		if err != nil {
			return err
		}
		for i := range x {
			if x[i] != y[i] {
				return fmt.Errorf("row %d is %q, in the other %q", i+1, x[i], y[i])
			}
		}
		return nil
	}
	x, err := a.Float(c.Name)
	if err != nil {
		return err
	}
	y, err := b.Float(c.Name)
	if err != nil {
		return err
	}
	largest := 0.0
	for i := range x {
		for _, v := range []float64{x[i], y[i]} {
			if !math.IsNaN(v) && !math.IsInf(v, 0) {
				largest = max(largest, math.Abs(v))
			}
		}
	}
	for i := range x {
		same := x[i] == y[i] || math.IsNaN(x[i]) && math.IsNaN(y[i]) || math.Abs(x[i]-y[i]) <= tolerance*largest
		if !same {
			return fmt.Errorf("row %d is %v, in the other %v; %v of the largest magnitude %v are allowed", i+1, x[i], y[i], tolerance, largest)
		}
	}
	return nil
}
