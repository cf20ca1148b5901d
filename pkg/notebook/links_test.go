package notebook

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckLinksNamesWhatLeadsNowhere(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "figures", "a.pdf"), "")
	write(t, filepath.Join(dir, "two.html"), `<h2 class="x" id="B%C3%A4r&amp;c">Bär</h2>`)
	good := `<h1 id="top">x</h1><a href="#top">x</a><a target="_blank" href="two.html#B%C3%A4r&amp;c">y</a><a href="figures/a.pdf">z</a>
<a href="https://example.org/none#here">o</a><img src="data:image/png;base64,AAAA">`
	write(t, filepath.Join(dir, "one.html"), good)
	if err := CheckLinks(dir); err != nil {
		t.Error(err)
	}
	bad := []string{"#bottom", "two.html#C", "three.html", "figures", "figures/b.pdf", "../one.html", "/one.html", "mailbox:", "%zz"}
	for _, link := range bad {
		write(t, filepath.Join(dir, "one.html"), good+fmt.Sprintf("<a class=\"k\" href=%q>", link))
		if err := CheckLinks(dir); err == nil || !strings.Contains(err.Error(), "1 links lead nowhere:\none.html → "+link) {
			t.Errorf("%s: %v", link, err)
		}
	}
}

func ExampleCheckLinks() {
	dir, err := os.MkdirTemp("", "site")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "index.html"), []byte(`<a href="missing.html">x</a>`), 0o600); err != nil {
		panic(err)
	}
	fmt.Println(CheckLinks(dir))
	// Output:
	// 1 links lead nowhere:
	// index.html → missing.html
}
