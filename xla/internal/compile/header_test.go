//go:build !noxla

package compile

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// The places of the functions and the arguments of those that are called are PJRT's, as the header of the pinned go-xla has them.
func TestTableAgreesWithTheHeader(t *testing.T) {
	list := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/gomlx/go-xla")
	list.Env = append(os.Environ(), "GOFLAGS=") // flags of the test's run, such as -json, are not for this
	dir, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "pjrt", "pjrt_c_api.h"))
	if err != nil {
		t.Fatal(err)
	}
	own, err := os.ReadFile("table.h")
	if err != nil {
		t.Fatal(err)
	}
	header := string(content)
	var functions []string
	for _, m := range regexp.MustCompile(`(?m)^  _PJRT_API_STRUCT_FIELD\(PJRT_(\w+)\);`).FindAllStringSubmatch(header, -1) {
		functions = append(functions, strings.ToUpper(strings.ReplaceAll(m[1], "_", "")))
	}
	places := regexp.MustCompile(`(?m)^\t([A-Z_]+) = (\d+),`).FindAllStringSubmatch(string(own), -1)
	if len(places) != 11 {
		t.Errorf("%d functions, want 11", len(places))
	}
	for _, m := range places {
		place, _ := strconv.Atoi(m[2])
		if name := strings.ReplaceAll(m[1], "_", ""); functions[place] != name {
			t.Errorf("%s is at %d, where the header has %s", name, place, functions[place])
		}
	}
	for structure, want := range map[string]string{
		"Program":                             "code code_size format format_size",
		"Client_Compile_Args":                 "client program compile_options compile_options_size executable",
		"Executable_DeserializeAndLoad_Args":  "client serialized_executable serialized_executable_size loaded_executable overridden_serialized_compile_options overridden_serialized_compile_options_size",
		"LoadedExecutable_GetExecutable_Args": "loaded_executable executable",
		"Executable_Serialize_Args":           "executable serialized_bytes serialized_bytes_size serialized_executable serialized_executable_deleter",
		"Executable_Destroy_Args":             "executable",
		"Error_Message_Args":                  "error message message_size",
		"Error_Destroy_Args":                  "error",
		"Client_PlatformVersion_Args":         "client platform_version platform_version_size",
		"Client_AddressableDevices_Args":      "client addressable_devices num_addressable_devices",
		"Device_GetDescription_Args":          "device device_description",
		"DeviceDescription_Kind_Args":         "device_description device_kind device_kind_size",
	} {
		_, body, _ := strings.Cut(header, "\nstruct PJRT_"+structure+" {")
		body, _, _ = strings.Cut(body, "\n};")
		body = regexp.MustCompile(`(?m)//.*$`).ReplaceAllString(body, "")
		body = regexp.MustCompile(`\(\*(\w+)\)\([^)]*\)`).ReplaceAllString(body, "$1")
		var fields []string
		for _, m := range regexp.MustCompile(`(\w+);`).FindAllStringSubmatch(body, -1) {
			fields = append(fields, m[1])
		}
		if got := strings.Join(fields, " "); got != "struct_size extension_start "+want {
			t.Errorf("%s has the fields %s", structure, got)
		}
	}
}
