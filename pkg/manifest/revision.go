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

// RevisionVariable is the environment variable that states the revision where there is no repository to ask (in the
// image, on a machine that got a copy of the tree): the commit's hash, followed by "+" when the tree was changed.
const RevisionVariable = "STUFFED_REVISION"

// stamp is set by the linker (make build), in the form of RevisionVariable.
var stamp string

// archive holds the commit's hash in an archive of the repository (.gitattributes: export-subst), else a placeholder.
//
//go:embed archive.txt
var archive string

// results are the folders and files that a run may change without becoming another program.
var results = []string{":/", ":!figures", ":!notebooks", ":!bench", ":!datasets/study", ":!datasets/models", ":!*.md"}

// Revision is the commit that this program was built from and whether the sources differed from it; the hash is empty
// where nothing tells. What counts is, in this order: the linker's stamp, the variable STUFFED_REVISION, the build
// information, the archive, the repository of the working directory (go run, go test and notebooks build there).
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

// fromRepository asks git, when the working directory belongs to this module.
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

// repository is the revision of the repository whose top folder is dir.
func repository(dir string) string {
	git := func(args ...string) (string, error) {
		out, err := exec.Command("git", append([]string{"-C", dir}, args...)...).Output()
		return strings.TrimSpace(string(out)), err
	}
	if inside, err := git("rev-parse", "--show-prefix"); err != nil || inside != "" {
		return "" // no repository, or that of another project around a copy of this one
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
