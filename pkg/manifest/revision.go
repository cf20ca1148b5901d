package manifest

import (
	_ "embed"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
)

// RevisionVariable is the environment variable that gives the revision where there is no repository (in the image, or on a machine with a
// copy of the tree): the commit hash, followed by "+" if the tree was modified.
const RevisionVariable = "STUFFED_REVISION"

// stamp is set by the linker (make build), in the format of RevisionVariable.
var stamp string

// archive holds the commit hash in an archive of the repository (.gitattributes: export-subst), otherwise a placeholder.
//
//go:embed archive.txt
var archive string

// results are git pathspecs: everything except files that a run may change without changing the program.
var results = []string{":/", ":!figures", ":!notebooks", ":!bench", ":!datasets/study", ":!datasets/models", ":!*.md"}

// Revision returns the commit that this program was built from and whether the sources differed from it; the hash is empty if unknown.
// Sources, in order of precedence: the linker's stamp, the variable STUFFED_REVISION, the build information, the archive, the repository
// of the working directory (go run, go test and notebooks build there).
var Revision = sync.OnceValues(func() (hash string, changed bool) {
	for _, source := range []func() string{
		func() string { return stamp },
		func() string { return os.Getenv(RevisionVariable) },
		fromBuild,
		fromArchive,
		fromRepository,
	} {
		if text := source(); text != "" {
			hash, changed = strings.CutSuffix(text, "+")
			return hash, changed
		}
	}
	return "", false
})

func fromBuild() (text string) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	if text = settings["vcs.revision"]; text != "" && settings["vcs.modified"] == "true" {
		text += "+"
	}
	return text
}

func fromArchive() string {
	if strings.HasPrefix(archive, "$") {
		return ""
	}
	return strings.TrimSpace(archive)
}

// fromRepository asks git, provided that the working directory belongs to this module.
func fromRepository() string {
	dir, err := os.Getwd()
	if err != nil {
		return ""
	}
	for ; ; dir = filepath.Dir(dir) {
		module, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(module), "module stuffed\n") {
			return repository(dir)
		}
		if dir == filepath.Dir(dir) {
			return ""
		}
	}
}

// repository returns the revision of the repository whose root is dir.
func repository(dir string) string {
	git := func(args ...string) (string, error) {
		out, err := exec.Command("git", append([]string{"-C", dir}, args...)...).Output()
		return strings.TrimSpace(string(out)), err
	}
	if inside, err := git("rev-parse", "--show-prefix"); err != nil || inside != "" {
		return "" // no repository, or another project's repository around a copy of this one
	}
	hash, err := git("rev-parse", "HEAD")
	if err != nil {
		return ""
	}
	if changes, err := git(append([]string{"status", "--porcelain", "--"}, results...)...); err != nil || changes != "" {
		hash += "+"
	}
	return hash
}
