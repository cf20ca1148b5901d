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
