// Package arch loads the architectures of the program into the registry of package lm. What opens models or configurations by
// name imports it.
package arch

import (
	_ "stuffed/pkg/arch/deltanet"      // DeltaNet
	_ "stuffed/pkg/arch/gateddeltanet" // Gated DeltaNet
	_ "stuffed/pkg/arch/gptneox"       // the transformer of GPT-NeoX and Pythia
	_ "stuffed/pkg/arch/kda"           // Kimi Delta Attention
	_ "stuffed/pkg/arch/llama"         // the transformer of Llama
	_ "stuffed/pkg/arch/rwkv7"         // RWKV-7
	_ "stuffed/pkg/mamba2"             // Mamba-2
)
