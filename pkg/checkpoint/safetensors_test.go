package checkpoint

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// rawSafetensors joins a header and data bytes as a file would.
func rawSafetensors(header string, data int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, data)...)
}

// allocated returns the bytes that f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func hostileSafetensors() map[string]struct {
	content []byte
	want    string
} {
	type hostile = struct {
		content []byte
		want    string
	}
	one := `{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`
	length := func(n uint64, rest string) []byte { return append(binary.LittleEndian.AppendUint64(nil, n), rest...) }
	return map[string]hostile{
		"empty":               {nil, "0 bytes"},
		"seven bytes":         {make([]byte, 7), "7 bytes"},
		"header beyond file":  {length(1000, one), "exceeds"},
		"header above limit":  {length(100_000_001, one), "limit of 100000000"},
		"header 2^64-1":       {length(1<<64-1, one), "limit of 100000000"},
		"header 99 MB":        {length(99_000_000, one), "exceeds"},
		"zero header":         {length(0, ""), "does not begin with '{'"},
		"array header":        {rawSafetensors(`[]`, 0), "does not begin with '{'"},
		"space before brace":  {rawSafetensors(` {}`, 0), "does not begin with '{'"},
		"cut JSON":            {rawSafetensors(one[:30], 8), "header"},
		"bytes after JSON":    {rawSafetensors(one+"x", 8), "header"},
		"two objects":         {rawSafetensors(one+"{}", 8), "after the closing brace"},
		"trailing comma":      {rawSafetensors(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},}`, 8), "header"},
		"not UTF-8":           {rawSafetensors("{\"a\xff\":1}", 0), "UTF-8"},
		"same tensor twice":   {rawSafetensors(one[:len(one)-1]+","+one[1:], 8), `key "a" occurs twice`},
		"same name escaped":   {rawSafetensors(one[:len(one)-1]+`,"\u0061":{"dtype":"F32","shape":[0],"data_offsets":[8,8]}}`, 8), "twice"},
		"same field twice":    {rawSafetensors(`{"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 8), "occurs twice"},
		"unknown dtype":       {rawSafetensors(strings.Replace(one, "F32", "F33", 1), 8), `dtype "F33" is not supported`},
		"dtype not a text":    {rawSafetensors(strings.Replace(one, `"F32"`, "32", 1), 8), "string"},
		"hole at the start":   {rawSafetensors(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}`, 12), "must begin at 0"},
		"hole between":        {rawSafetensors(one[:len(one)-1]+`,"b":{"dtype":"U8","shape":[1],"data_offsets":[9,10]}}`, 10), "must begin at 8"},
		"overlap":             {rawSafetensors(one[:len(one)-1]+`,"b":{"dtype":"U8","shape":[4],"data_offsets":[6,10]}}`, 10), "must begin at 8"},
		"end before begin":    {rawSafetensors(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,0]},"b":{"dtype":"U8","shape":[0],"data_offsets":[0,-1]}}`, 8), "whole number"},
		"span too long":       {rawSafetensors(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,12]}}`, 12), "needs 8"},
		"cut data":            {rawSafetensors(one, 7), "cut or has bytes left over"},
		"data left over":      {rawSafetensors(one, 9), "cut or has bytes left over"},
		"product overflow":    {rawSafetensors(`{"a":{"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,8]}}`, 8), "elements"},
		"bytes overflow":      {rawSafetensors(`{"a":{"dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,8]}}`, 8), "bytes"},
		"huge shape":          {rawSafetensors(`{"a":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4000000000000]}}`, 8), "cut or has bytes left over"},
		"negative dimension":  {rawSafetensors(strings.Replace(one, "[2]", "[-2]", 1), 8), "whole number"},
		"fractional shape":    {rawSafetensors(strings.Replace(one, "[2]", "[2.0]", 1), 8), "whole number"},
		"shape beyond int":    {rawSafetensors(strings.Replace(one, "[2]", "[18446744073709551615]", 1), 8), "whole number"},
		"shape of texts":      {rawSafetensors(strings.Replace(one, "[2]", `["2"]`, 1), 8), "whole number"},
		"no shape":            {rawSafetensors(`{"a":{"dtype":"F32","data_offsets":[0,8]}}`, 8), "shape is missing"},
		"no offsets":          {rawSafetensors(`{"a":{"dtype":"F32","shape":[2]}}`, 8), "data_offsets is missing"},
		"three offsets":       {rawSafetensors(strings.Replace(one, "[0,8]", "[0,8,8]", 1), 8), "want 2"},
		"tensor is a number":  {rawSafetensors(`{"a":1}`, 0), "found 1"},
		"metadata of numbers": {rawSafetensors(`{"__metadata__":{"a":1}}`, 0), "__metadata__"},
		"metadata is a list":  {rawSafetensors(`{"__metadata__":[]}`, 0), "__metadata__"},
		"deep nesting":        {rawSafetensors(`{"a":{"x":`+strings.Repeat("[", 5000)+`}}`, 0), "header"},
	}
}

func TestHostileSafetensors(t *testing.T) {
	for name, h := range hostileSafetensors() {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.safetensors")
			if err := os.WriteFile(path, h.content, 0o600); err != nil {
				t.Fatal(err)
			}
			var err error
			if n := allocated(func() { _, err = ReadSafetensors(path) }); n > 1<<20 {
				t.Errorf("a file of %d bytes allocated %d", len(h.content), n)
			}
			if err == nil || !strings.Contains(err.Error(), h.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("error %v, want one that names the file and says %q", err, h.want)
			}
		})
	}
}

func TestSafetensorsRoundTrip(t *testing.T) {
	a, err := FromFloat32([]int{2, 3}, []float32{1, -2, 3.5, 0, 1e-30, 7})
	if err != nil {
		t.Fatal(err)
	}
	b, err := FromInt64([]int{}, []int64{-9})
	if err != nil {
		t.Fatal(err)
	}
	half, err := a.Convert("BF16")
	if err != nil {
		t.Fatal(err)
	}
	in := map[string]*Tensor{"z": a, "a\"<é>": b, "half": half, "none": {DType: "U8", Shape: []int{0, 4}}}
	path := filepath.Join(t.TempDir(), "x.safetensors")
	if err := WriteSafetensors(path, in, map[string]string{"k": "v<>"}); err != nil {
		t.Fatal(err)
	}
	first, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := binary.LittleEndian.Uint64(first); n%8 != 0 {
		t.Errorf("header of %d bytes is not padded to 8", n)
	}
	out, err := ReadSafetensors(path)
	if err != nil {
		t.Fatal(err)
	}
	if out.Meta["k"] != "v<>" || len(out.Tensors) != len(in) {
		t.Errorf("got meta %v and %v", out.Meta, out.Names())
	}
	for name, want := range in {
		got, err := out.Tensor(name)
		if err != nil {
			t.Fatal(err)
		}
		if got.String() != want.String() || !bytes.Equal(got.Data, want.Data) {
			t.Errorf("%q: got %s, want %s", name, got, want)
		}
	}
	var again bytes.Buffer
	if err := EncodeSafetensors(&again, in, map[string]string{"k": "v<>"}); err != nil || !bytes.Equal(first, again.Bytes()) {
		t.Errorf("two writings differ (%v)", err)
	}
	if _, err := out.Tensor("absent"); err == nil || !strings.Contains(err.Error(), "half") {
		t.Errorf("error %v does not name what is present", err)
	}
}

func TestWriteRefusesBadTensor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	for _, bad := range []*Tensor{nil, {DType: "F32", Shape: []int{2}, Data: make([]byte, 4)}, {DType: "F12", Shape: []int{1}}} {
		if err := WriteSafetensors(path, map[string]*Tensor{"w": bad}, nil); err == nil || !strings.Contains(err.Error(), `"w"`) {
			t.Errorf("tensor %v: error %v", bad, err)
		}
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestShards(t *testing.T) {
	dir := t.TempDir()
	in := map[string]*Tensor{}
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		x, err := FromFloat32([]int{4}, []float32{1, 2, 3, float32(name[0])})
		if err != nil {
			t.Fatal(err)
		}
		in[name] = x
	}
	if err := WriteSafetensors(filepath.Join(dir, singleName), in, nil); err != nil { // a stale single file
		t.Fatal(err)
	}
	if err := WriteSharded(dir, in, 40); err != nil {
		t.Fatal(err)
	}
	shards, err := filepath.Glob(filepath.Join(dir, "model-*-of-00003.safetensors"))
	if err != nil || len(shards) != 3 {
		t.Fatalf("shards %v %v", shards, err)
	}
	out, err := ReadWeights(dir)
	if err != nil {
		t.Fatal(err)
	}
	for name := range in {
		if !bytes.Equal(out.Tensors[name].Data, in[name].Data) {
			t.Errorf("%s differs", name)
		}
	}
	index := filepath.Join(dir, indexName)
	good, err := os.ReadFile(index)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ text, want string }{
		"missing shard":       {strings.ReplaceAll(string(good), "model-00002", "model-00009"), "model-00009"},
		"tensor not in shard": {strings.Replace(string(good), "00001-of", "00002-of", 1), "does not"},
		"tensor not in map":   {strings.Replace(string(good), `"e":`, `"f":`, 1), `"f"`},
		"path outside":        {strings.ReplaceAll(string(good), "model-00001", "../model-00001"), "plain file name"},
		"empty map":           {`{"weight_map":{}}`, "weight_map is missing or empty"},
		"not JSON":            {`{`, "unexpected end"},
		"wrong type":          {`{"weight_map":{"a":1}}`, "cannot unmarshal"},
	} {
		if err := os.WriteFile(index, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadSharded(index); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
	if err := WriteSharded(dir, in, 0); err == nil {
		t.Error("maxBytes 0 was accepted")
	}
}

func FuzzSafetensors(f *testing.F) {
	for _, h := range hostileSafetensors() {
		f.Add(h.content)
	}
	f.Add(rawSafetensors(`{"__metadata__":{"k":"v"},"a":{"dtype":"BF16","shape":[1,2],"data_offsets":[0,4]}}  `, 4))
	f.Fuzz(func(t *testing.T, content []byte) {
		file, err := DecodeSafetensors(bytes.NewReader(content), int64(len(content)))
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := EncodeSafetensors(&out, file.Tensors, file.Meta); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		again, err := DecodeSafetensors(bytes.NewReader(out.Bytes()), int64(out.Len()))
		if err != nil || !slices.Equal(again.Names(), file.Names()) {
			t.Fatalf("what was written cannot be read: %v", err)
		}
	})
}
