package table

import (
	"fmt"
	"io"
	"os"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"stuffed/pkg/atomic"
)

// large reports whether every part but the last has enough rows for a row group of the merged file.
func (w *Writer) large() (bool, error) {
	for i := range w.parts - 1 {
		rows, err := rowsOf(partName(w.path, i))
		if err != nil || rows < mergedRows {
			return false, err
		}
	}
	return w.parts > 1, nil
}

func rowsOf(path string) (int64, error) {
	m, err := footer(path)
	if err != nil {
		return 0, err
	}
	return m.NumRows, nil
}

// footer reads the metadata of a Parquet file.
func footer(path string) (*format.FileMetaData, error) {
	f, size, err := atomic.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p, err := parquet.OpenFile(f, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p.Metadata(), nil
}

// copyParquet concatenates the row groups of the parts byte for byte and writes a new footer. Page indexes are dropped, since their
// offsets would no longer be valid.
func (w *Writer) copyParquet(out io.Writer) error {
	const magic = "PAR1"
	if _, err := io.WriteString(out, magic); err != nil {
		return err
	}
	var all *format.FileMetaData
	at := int64(len(magic))
	for i := range w.parts {
		path := partName(w.path, i)
		m, err := footer(path)
		if err != nil {
			return err
		}
		if all == nil {
			all = m
		}
		groups := m.RowGroups
		if all == m {
			all.RowGroups = nil
		} else {
			all.NumRows += m.NumRows
		}
		end := int64(len(magic))
		for g := range groups {
			groups[g].FileOffset += at - int64(len(magic))
			groups[g].Ordinal = int16(len(all.RowGroups))
			for c := range groups[g].Columns {
				k := &groups[g].Columns[c]
				start := k.MetaData.DataPageOffset
				if d := k.MetaData.DictionaryPageOffset; d > 0 {
					start = min(start, d)
					k.MetaData.DictionaryPageOffset += at - int64(len(magic))
				}
				end = max(end, start+k.MetaData.TotalCompressedSize)
				k.MetaData.DataPageOffset += at - int64(len(magic))
				k.FileOffset += at - int64(len(magic))
				k.OffsetIndexOffset, k.OffsetIndexLength, k.ColumnIndexOffset, k.ColumnIndexLength = 0, 0, 0, 0
			}
			all.RowGroups = append(all.RowGroups, groups[g])
		}
		if err := copyBytes(out, path, int64(len(magic)), end); err != nil {
			return err
		}
		at += end - int64(len(magic))
	}
	data, err := thrift.Marshal(new(thrift.CompactProtocol), all)
	if err != nil {
		return err
	}
	n := uint32(len(data))
	data = append(data, byte(n), byte(n>>8), byte(n>>16), byte(n>>24))
	_, err = out.Write(append(data, magic...))
	return err
}

func copyBytes(out io.Writer, path string, from, to int64) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	n, err := io.Copy(out, io.NewSectionReader(f, from, to-from))
	if err == nil && n != to-from {
		err = fmt.Errorf("%s: %d bytes, want %d", path, n, to-from)
	}
	return err
}
