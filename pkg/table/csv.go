package table

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"stuffed/pkg/plaintext"
)

func encodeCSV(w io.Writer, t *Table) error {
	out := csv.NewWriter(w)
	if err := out.Write(t.Names()); err != nil {
		return err
	}
	record := make([]string, len(t.Columns))
	for row := range t.Rows() {
		empty := true
		for i := range t.Columns {
			record[i] = t.Columns[i].cell(row)
			empty = empty && record[i] == ""
		}
		if i := slices.IndexFunc(t.Columns, func(c Column) bool { return c.Floats != nil }); empty && i >= 0 && len(record) > 1 {
			record[i] = "NaN" // a row without any value would be taken for the padding of a spreadsheet program
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

// decodeCSV parses a header line followed by rows. A column is integer if every cell is a canonical int64, float if every cell is a
// number or missing, and text otherwise. A last line without a line terminator and with too few fields comes from an interrupted
// writer and is dropped. Columns that are text in like stay text whatever their cells look like; like may be nil.
//
// Cells may be separated by commas, semicolons or tabs; the header line decides. With semicolons, numbers may use a decimal comma. An
// unnamed first column (pandas' index) is named index. Trailing rows without any value are dropped.
func decodeCSV(data []byte, like *Table) (*Table, error) {
	data, err := plaintext.Decode(data)
	if err != nil {
		return nil, err
	}
	if !bytes.ContainsRune(data, '\n') {
		data = bytes.ReplaceAll(data, []byte("\r"), []byte("\n"))
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, errors.New("the file is empty, a header line with column names is needed")
	}
	r := csv.NewReader(bytes.NewReader(data))
	r.ReuseRecord = true
	r.Comma = separator(data)
	header, err := r.Read()
	if err != nil {
		return nil, err
	}
	names := make([]string, len(header))
	for i, h := range header {
		names[i] = strings.TrimSpace(h)
	}
	if len(names) > 1 && names[0] == "" && !slices.Contains(names, "index") {
		names[0] = "index"
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
	if len(names) > 1 {
		dropPadding(cells)
	}
	t := New()
	for i, name := range names {
		if like != nil && like.Has(name) && like.column(name).Texts != nil {
			t.AddText(name, cells[i])
			continue
		}
		if r.Comma == ';' {
			decimalPoints(cells[i])
		}
		t.Columns = append(t.Columns, infer(name, cells[i]))
	}
	return t, t.Check()
}

// separator guesses the field separator from the header line: a comma if there is one, else a semicolon or a tab.
func separator(data []byte) rune {
	header, _, _ := bytes.Cut(data, []byte("\n"))
	for _, s := range ",;\t" {
		if bytes.ContainsRune(header, s) {
			return s
		}
	}
	return ','
}

// dropPadding removes trailing rows that have no value in any column.
func dropPadding(cells [][]string) {
	for n := len(cells[0]); n > 0; n-- {
		for _, column := range cells {
			if strings.TrimSpace(column[n-1]) != "" {
				return
			}
		}
		for i := range cells {
			cells[i] = cells[i][:n-1]
		}
	}
}

var decimalComma = regexp.MustCompile(`^[+-]?[0-9]*,[0-9]+([eE][+-]?[0-9]+)?$`)

// decimalPoints replaces decimal commas by points in a column if that makes every cell a number.
func decimalPoints(cells []string) {
	changed := slices.Clone(cells)
	for i, cell := range cells {
		s := strings.TrimSpace(cell)
		switch {
		case decimalComma.MatchString(s):
			changed[i] = strings.Replace(s, ",", ".", 1)
		case !number(s):
			return
		}
	}
	copy(cells, changed)
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

// number parses decimal numbers and missing-value markers. Identifiers that merely look numeric (leading zeros, hexadecimal) stay text.
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
