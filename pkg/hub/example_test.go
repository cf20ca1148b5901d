package hub_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"stuffed/pkg/hub"
	"stuffed/pkg/hub/hubtest"
)

func Example() {
	defer pretend()()
	client, err := hub.FromEnvironment()
	if err != nil {
		fmt.Println(err)
		return
	}
	name, _ := hub.ParseName("state-spaces/mamba2-130m")
	folder, err := client.Fetch(context.Background(), name, hub.Whole)
	if err != nil {
		fmt.Println(err)
		return
	}
	content, err := os.ReadFile(filepath.Join(folder, "config.json"))
	fmt.Println(string(content), err)
	// Output: {"d_model": 768} <nil>
}

func ExampleParseName() {
	for _, text := range []string{"state-spaces/mamba2-370m", "org/model@v1.0", "BlinkDL/rwkv-6-world/RWKV-x060-1B6.pth", "./out/model"} {
		name, ok := hub.ParseName(text)
		fmt.Printf("%v %q %q %q\n", ok, name.Repo, name.Revision, name.File)
	}
	// Output:
	// true "state-spaces/mamba2-370m" "main" ""
	// true "org/model" "v1.0" ""
	// true "BlinkDL/rwkv-6-world" "main" "RWKV-x060-1B6.pth"
	// false "" "" ""
}

// pretend stands in for the network: a hub on this machine.
func pretend() (end func()) {
	t := &exampleTB{}
	s := hubtest.New(t)
	s.Add("state-spaces/mamba2-130m", map[string][]byte{"config.json": []byte(`{"d_model": 768}`), "pytorch_model.bin": make([]byte, 8192)})
	return t.end
}

// exampleTB lets an example use what is made for tests.
type exampleTB struct {
	testing.TB
	ends []func()
}

func (t *exampleTB) Cleanup(f func()) { t.ends = append(t.ends, f) }

func (t *exampleTB) Setenv(key, value string) {
	old, had := os.LookupEnv(key)
	os.Setenv(key, value)
	t.Cleanup(func() {
		if os.Unsetenv(key); had {
			os.Setenv(key, old)
		}
	})
}

func (t *exampleTB) TempDir() string {
	dir, err := os.MkdirTemp("", "hub")
	if err != nil {
		panic(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (t *exampleTB) end() {
	for _, f := range t.ends {
		f()
	}
}
