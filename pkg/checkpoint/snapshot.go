package checkpoint

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"stuffed/pkg/atomic"
)

// sumsName lists the SHA-256 of every file of a snapshot, in the format of sha256sum.
const sumsName = "SHA256SUMS"

// ErrNoSnapshot means that a folder contains no valid snapshot.
var ErrNoSnapshot = errors.New("no valid snapshot")

// SaveSnapshot atomically saves a training snapshot as root/step-N: write fills root/step-N.tmp, every file and folder is synced,
// SHA256SUMS is written, the folder is renamed, and root/LATEST (a text file that names it) is replaced by a rename. On an error before
// the rename the unfinished folder is removed and earlier snapshots are untouched. A snapshot of the same step is replaced.
func SaveSnapshot(root string, step int64, write func(dir string) error) error {
	if step < 0 {
		return fmt.Errorf("snapshot: step is %d, must be at least 0", step)
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	if err := restoreReplaced(root); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	name := stepName(step)
	final := filepath.Join(root, name)
	if err := commitSnapshot(final, write); err != nil {
		return fmt.Errorf("snapshot of step %d not saved, earlier ones are untouched: %w", step, errors.Join(err, os.RemoveAll(final+".tmp")))
	}
	err := atomic.Write(filepath.Join(root, "LATEST"), func(w io.Writer) error {
		_, err := io.WriteString(w, name+"\n")
		return err
	})
	if err != nil {
		return fmt.Errorf("snapshot of step %d is saved, but LATEST is not: %w", step, err)
	}
	return nil
}

func stepName(step int64) string { return "step-" + strconv.FormatInt(step, 10) }

func commitSnapshot(final string, write func(dir string) error) error {
	temporary, replaced := final+".tmp", final+replacedSuffix
	for _, stale := range []string{temporary, replaced} {
		if err := os.RemoveAll(stale); err != nil {
			return err
		}
	}
	if err := os.Mkdir(temporary, 0o755); err != nil {
		return err
	}
	if err := write(temporary); err != nil {
		return err
	}
	files, folders, err := snapshotFiles(temporary)
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("nothing was written")
	}
	var sums strings.Builder
	for _, file := range files {
		sum, _, err := atomic.Hash(filepath.Join(temporary, file))
		if err != nil {
			return err
		}
		if err := atomic.Sync(filepath.Join(temporary, file)); err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%s  %s\n", sum, filepath.ToSlash(file))
	}
	err = atomic.Write(filepath.Join(temporary, sumsName), func(w io.Writer) error {
		_, err := io.WriteString(w, sums.String())
		return err
	})
	if err != nil {
		return err
	}
	for _, folder := range folders {
		if err := atomic.Sync(filepath.Join(temporary, folder)); err != nil {
			return err
		}
	}
	if _, err := os.Lstat(final); err == nil {
		if err := os.Rename(final, replaced); err != nil {
			return err
		}
	}
	if err := os.Rename(temporary, final); err != nil {
		return err
	}
	if err := atomic.Sync(filepath.Dir(final)); err != nil {
		return err
	}
	return os.RemoveAll(replaced)
}

// replacedSuffix marks a snapshot while another of the same step takes its place.
const replacedSuffix = ".old.tmp"

// restoreReplaced restores a snapshot whose replacement was interrupted between the two renames.
func restoreReplaced(root string) error {
	entries, err := os.ReadDir(root)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, entry := range entries {
		name, ok := strings.CutSuffix(entry.Name(), replacedSuffix)
		if !ok || !strings.HasPrefix(name, "step-") {
			continue
		}
		final, old := filepath.Join(root, name), filepath.Join(root, entry.Name())
		if _, err := os.Lstat(final); errors.Is(err, fs.ErrNotExist) {
			if err := os.Rename(old, final); err != nil {
				return err
			}
		}
	}
	return nil
}

// snapshotFiles lists the regular files (without the sums) and the folders below dir, relative to it. Anything else is an error.
func snapshotFiles(dir string) (files, folders []string, err error) {
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(dir, path)
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			folders = append(folders, relative)
		case !entry.Type().IsRegular():
			return fmt.Errorf("%s is neither a file nor a folder", relative)
		case strings.ContainsAny(relative, "\n\\"):
			return fmt.Errorf("file name %q has a line break or backslash", relative)
		case relative != sumsName:
			files = append(files, relative)
		}
		return nil
	})
	return files, folders, err
}

// VerifySnapshot checks that a snapshot folder holds exactly the files of its SHA256SUMS, with those hashes.
func VerifySnapshot(dir string) error {
	f, err := os.Open(filepath.Join(dir, sumsName))
	if err != nil {
		return err
	}
	defer f.Close()
	sums := map[string]string{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		sum, name, ok := strings.Cut(lines.Text(), "  ")
		if !ok || len(sum) != 2*sha256.Size || name == "" {
			return fmt.Errorf("%s: line %q is not a hash and a name", sumsName, short(lines.Text()))
		}
		sums[filepath.FromSlash(name)] = sum
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s: %w", sumsName, err)
	}
	files, _, err := snapshotFiles(dir)
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("the folder holds no files")
	}
	for _, file := range files {
		want, ok := sums[file]
		if !ok {
			return fmt.Errorf("file %s is not listed in %s", file, sumsName)
		}
		got, _, err := atomic.Hash(filepath.Join(dir, file))
		if err != nil {
			return err
		}
		if got != want {
			return fmt.Errorf("file %s does not have the hash it was saved with: it was cut or changed", file)
		}
		delete(sums, file)
	}
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		return fmt.Errorf("file %s is missing", short(name))
	}
	return nil
}

// LatestSnapshot returns the folder and step of the newest snapshot whose files verify. skipped lists, newest first, the newer ones that
// failed and why. Unfinished folders (.tmp) are ignored. Without a valid snapshot the error is [ErrNoSnapshot].
func LatestSnapshot(root string) (dir string, step int64, skipped []string, err error) {
	if err := restoreReplaced(root); err != nil {
		return "", 0, nil, err
	}
	steps, err := Snapshots(root)
	if err != nil {
		return "", 0, nil, err
	}
	for _, step := range slices.Backward(steps) {
		dir := filepath.Join(root, stepName(step))
		if err := VerifySnapshot(dir); err != nil {
			skipped = append(skipped, fmt.Sprintf("%s: %v", stepName(step), err))
			continue
		}
		return dir, step, skipped, nil
	}
	return "", 0, skipped, fmt.Errorf("%w in %s: %d found, %d damaged", ErrNoSnapshot, root, len(steps), len(skipped))
}

// Snapshots lists the steps of the snapshot folders in root, ascending, without verifying them.
func Snapshots(root string) ([]int64, error) {
	entries, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var steps []int64
	for _, entry := range entries {
		digits, ok := strings.CutPrefix(entry.Name(), "step-")
		step, err := strconv.ParseInt(digits, 10, 64)
		if ok && err == nil && step >= 0 && entry.IsDir() && entry.Name() == stepName(step) {
			steps = append(steps, step)
		}
	}
	slices.Sort(steps)
	return steps, nil
}
