package atomic_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"stuffed/pkg/atomic"
)

// A failed write leaves the previous content in place.
func ExampleWrite() {
	dir, err := os.MkdirTemp("", "atomic")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "row.json")
	fmt.Println(atomic.Bytes(path, []byte("whole")))
	full := errors.New("the disk is full")
	err = atomic.Write(path, func(w io.Writer) error {
		if _, err := io.WriteString(w, "hal"); err != nil {
			return err
		}
		return full
	})
	fmt.Println(errors.Is(err, full))
	content, err := atomic.Read(path, 1<<10)
	fmt.Printf("%s %v\n", content, err)
	// Output:
	// <nil>
	// true
	// whole <nil>
}
