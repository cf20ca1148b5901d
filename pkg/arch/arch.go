// Package arch loads the architectures of the program into the registry of package lm. What opens models or configurations by
// name imports it.
package arch

import (
	_ "stuffed/pkg/arch/deltanet"      // DeltaNet
	_ "stuffed/pkg/arch/gateddeltanet" // Gated DeltaNet
	_ "stuffed/pkg/arch/gla"           // Gated Linear Attention
	_ "stuffed/pkg/arch/gptneox"       // the transformer of GPT-NeoX and Pythia
	_ "stuffed/pkg/arch/hgrn2"         // HGRN-2
	_ "stuffed/pkg/arch/kda"           // Kimi Delta Attention
	_ "stuffed/pkg/arch/llama"         // the transformer of Llama
	_ "stuffed/pkg/arch/mamba1"        // Mamba
	_ "stuffed/pkg/arch/retnet"        // RetNet
	_ "stuffed/pkg/arch/rwkv4"         // RWKV-4
	_ "stuffed/pkg/arch/rwkv5"         // RWKV-5
	_ "stuffed/pkg/arch/rwkv6"         // RWKV-6
	_ "stuffed/pkg/arch/rwkv7"         // RWKV-7
	_ "stuffed/pkg/mamba2"             // Mamba-2
)
