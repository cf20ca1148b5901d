package notebook

import (
	"fmt"
	"html"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

var (
	links   = regexp.MustCompile(`<[a-z]+\s[^>]*?\b(?:href|src)="([^"]*)"`)
	anchors = regexp.MustCompile(`<[a-z0-9]+\s[^>]*?\bid="([^"]*)"`)
)

// CheckLinks reads all pages of a folder and lists the links that lead to no file of the folder or to no anchor of a page.
// Addresses on other hosts are not requested.
func CheckLinks(dir string) error {
	paths, err := filepath.Glob(filepath.Join(dir, "*.html"))
	if err != nil {
		return err
	}
	text, places := map[string]string{}, map[string][]string{}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name := filepath.Base(path)
		text[name] = string(data)
		for _, m := range anchors.FindAllStringSubmatch(text[name], -1) {
			places[name] = append(places[name], html.UnescapeString(m[1]))
		}
	}
	var broken []string
	for _, path := range paths {
		name := filepath.Base(path)
		for _, m := range links.FindAllStringSubmatch(text[name], -1) {
			if link := html.UnescapeString(m[1]); !leads(dir, name, link, places) {
				broken = append(broken, name+" → "+link)
			}
		}
	}
	if len(broken) > 0 {
		return fmt.Errorf("%d links lead nowhere:\n%s", len(broken), strings.Join(slices.Compact(broken), "\n"))
	}
	return nil
}

// leads reports whether a link of a page leads somewhere. Anchors may be written raw or escaped; browsers accept both.
func leads(dir, page, link string, places map[string][]string) bool {
	to, err := url.Parse(link)
	if err != nil {
		return false
	}
	if to.Scheme != "" {
		return to.Scheme == "data" || to.Scheme == "mailto" || to.Host != ""
	}
	if to.Path != "" {
		page = to.Path
		if info, err := os.Stat(filepath.Join(dir, filepath.FromSlash(page))); err != nil || info.IsDir() || !filepath.IsLocal(page) {
			return false
		}
	}
	return to.Fragment == "" || slices.Contains(places[page], to.Fragment) || slices.Contains(places[page], to.EscapedFragment())
}
