package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// instructions are the lines of the Dockerfile with their continuations, without comments.
func instructions(t *testing.T) (lines []string) {
	t.Helper()
	text := regexp.MustCompile(`(?m)^#.*\n`).ReplaceAllString(read(t, "Dockerfile"), "")
	for line := range strings.Lines(strings.ReplaceAll(text, "\\\n", " ")) {
		if line = strings.Join(strings.Fields(line), " "); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// read is a file of the project.
func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("../../..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// The image is built from what is there, and runs as its own user with results in a volume.
func TestDockerfile(t *testing.T) {
	all := instructions(t)
	var last []string // the stage that is shipped
	arguments, made := map[string]string{}, read(t, "Makefile")
	for _, line := range all {
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "ARG":
			name, value, _ := strings.Cut(rest, "=")
			if arguments[name] == "" {
				arguments[name] = value
			}
		case "FROM":
			last = nil
			if base := regexp.MustCompile(`^\$\{(\w+)\}`).FindStringSubmatch(rest); base == nil || arguments[base[1]] == "" {
				t.Errorf("%s: the base is no argument with a default", line)
			}
		case "COPY":
			for _, path := range strings.Fields(rest) {
				if _, err := os.Stat(filepath.Join("../../..", path)); err != nil && !strings.HasPrefix(rest, "--from") {
					t.Errorf("%s: %v", line, err)
				}
			}
		case "LABEL", "ENV", "EXPOSE", "VOLUME", "HEALTHCHECK", "CMD", "USER", "WORKDIR", "RUN":
		default:
			t.Errorf("%s: no instruction", line)
		}
		last = append(last, line)
	}
	for _, target := range regexp.MustCompile(`setup-?\w*`).FindAllString(arguments["SETUP"]+" "+made[strings.Index(made, "SETUP="):], -1) {
		if !strings.Contains(made, "\n"+target+":") {
			t.Errorf("no target %s in the Makefile", target)
		}
	}
	version := regexp.MustCompile(`\ngo (\S+)\n`).FindStringSubmatch(read(t, "go.mod"))[1]
	if !strings.Contains(arguments["GO_BASE"], ":"+version+"-") {
		t.Errorf("the base has Go %s, go.mod %s", arguments["GO_BASE"], version)
	}
	shipped := strings.Join(last, "\n")
	for _, want := range []string{"\nUSER analyst\n", "\nVOLUME /home/stuffed/project/lab\n", "\nVOLUME /home/stuffed/project/out\n", "image.title=", "image.licenses=", "image.revision=", "image.description=", "\nHEALTHCHECK ", "\nCMD "} {
		if !strings.Contains(shipped, want) {
			t.Errorf("the shipped stage has no %q", strings.TrimSpace(want))
		}
	}
	if strings.LastIndex(shipped, "\nRUN apt-get") > strings.Index(shipped, "\nUSER") || !strings.Contains(made, "-v stuffed-lab:/home/stuffed/project/lab -v stuffed-out:/home/stuffed/project/out stuffed\n") {
		t.Error("the documented command names no volume, or the user can install packages")
	}
}

// Whatever set-up fetches by pip is one version with hashes.
func TestRequirementsArePinned(t *testing.T) {
	files, err := filepath.Glob("../../../.ci/requirements*.txt")
	if err != nil || len(files) < 6 {
		t.Fatal(files, err)
	}
	for _, path := range files {
		text := read(t, filepath.Join(".ci", filepath.Base(path)))
		for entry := range strings.SplitSeq(strings.ReplaceAll(text, "\\\n", " "), "\n") {
			if entry = strings.TrimSpace(entry); entry == "" || strings.HasPrefix(entry, "#") {
				continue
			}
			if !strings.Contains(entry, "==") || !strings.Contains(entry, "--hash=sha256:") {
				t.Errorf("%s: %.60s has no version or no hash", filepath.Base(path), entry)
			}
		}
	}
}
