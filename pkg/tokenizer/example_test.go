package tokenizer_test

import (
	"fmt"

	"stuffed/pkg/tokenizer"
)

func ExampleBytes() {
	tok := tokenizer.Bytes()
	ids, err := tok.Encode("né")
	if err != nil {
		fmt.Println(err)
		return
	}
	text, err := tok.Decode(ids)
	fmt.Println(ids, text, err, tok.EOS(), tok.Vocab())
	// Output: [110 195 169] né <nil> 256 257
}

func ExampleOpen() {
	_, err := tokenizer.Open("absent.json")
	fmt.Println(err)
	// Output: open absent.json: no such file or directory
}

func ExampleFrame() {
	tok, err := tokenizer.Open("testdata/small/llama2.json") // small, but of Llama-2's kind
	if err != nil {
		fmt.Println(err)
		return
	}
	before, after := tokenizer.Frame(tok)
	ids, err := tok.Encode("the state 你")
	fmt.Println(before, ids, after, err)
	part, err := tokenizer.Part(tok, "state")
	if err != nil {
		fmt.Println(err)
		return
	}
	text, err := tok.Decode(part)
	fmt.Printf("%q %v\n", text, err)
	// Output:
	// [1] [299 307 231 192 163] [] <nil>
	// "state" <nil>
}
