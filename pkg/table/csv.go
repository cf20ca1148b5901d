package table

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"
)

func encodeCSV(w io.Writer, t *Table) error {
	out := csv.NewWriter(w)
	if err := out.Write(t.Names()); err != nil {
		return err
	}
	record := make([]string, len(t.Columns))
	for row := range t.Rows() {
		for i := range t.Columns {
			record[i] = t.Columns[i].cell(row)
		}
		if len(record) == 1 && record[0] == "" {
			// encoding/csv writes a lone empty field as an empty line, which readers skip.
			out.Flush()
			if _, err := io.WriteString(w, "\"\"\n"); err != nil {
				return err
			}
			continue
		}
		if err := out.Write(record); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// decodeCSV reads a header line and rows. A column is integer if every cell is
// a canonical int64, float if every cell is a number or missing, text
// otherwise. A last line that has no line end and too few fields is the trace
// of an interrupted writer and is left out. Columns that like has as text stay
// text whatever their cells look like; like may be nil.
func decodeCSV(data []byte, like *Table) (*Table, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, errors.New("the file is empty, a header line with column names is needed")
	}
	r := csv.NewReader(bytes.NewReader(data))
	r.ReuseRecord = true
	header, err := r.Read()
	if err != nil {
		return nil, err
	}
	names := make([]string, len(header))
	for i, h := range header {
		names[i] = strings.TrimSpace(h)
	}
	cells := make([][]string, len(names))
	for {
		record, err := r.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			if torn(data, r.InputOffset(), err) {
				break
			}
			return nil, err
		}
		for i, v := range record {
			cells[i] = append(cells[i], strings.Clone(v))
		}
	}
	t := New()
	for i, name := range names {
		if like != nil && like.Has(name) && like.column(name).Texts != nil {
			t.AddText(name, cells[i])
			continue
		}
		t.Columns = append(t.Columns, infer(name, cells[i]))
	}
	return t, t.Check()
}

func torn(data []byte, read int64, err error) bool {
	atEnd := read >= int64(len(data)) && data[len(data)-1] != '\n'
	return atEnd && (errors.Is(err, csv.ErrFieldCount) || errors.Is(err, csv.ErrQuote))
}

func missing(cell string) bool {
	switch cell {
	case "", "NaN", "nan", "NA", "null", "None":
		return true
	}
	return false
}

func infer(name string, cells []string) Column {
	ints, numbers := true, true
	for _, cell := range cells {
		s := strings.TrimSpace(cell)
		if ints {
			v, err := strconv.ParseInt(s, 10, 64)
			ints = err == nil && strconv.FormatInt(v, 10) == s
		}
		if !ints && !number(s) {
			numbers = false
			break
		}
	}
	c := Column{Name: name}
	switch {
	case !numbers:
		c.Texts = cells
	case ints && len(cells) > 0:
		c.Ints = make([]int64, len(cells))
		for i, s := range cells {
			c.Ints[i], _ = strconv.ParseInt(strings.TrimSpace(s), 10, 64)
		}
	default:
		c.Floats = make([]float64, len(cells))
		for i, s := range cells {
			c.Floats[i] = math.NaN()
			if s = strings.TrimSpace(s); !missing(s) {
				c.Floats[i], _ = strconv.ParseFloat(s, 64)
			}
		}
	}
	return c
}

// number accepts decimal numbers and missing marks, but not identifiers that
// only look like numbers: leading zeros and hexadecimal forms stay text.
func number(s string) bool {
	if missing(s) {
		return true
	}
	digits := strings.TrimLeft(s, "+-")
	if len(digits) > 1 && digits[0] == '0' && digits[1] != '.' && digits[1] != 'e' && digits[1] != 'E' {
		return false
	}
	_, err := strconv.ParseFloat(s, 64)
	return err == nil
}
