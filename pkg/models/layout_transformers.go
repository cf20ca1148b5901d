package models

import (
	"stuffed/pkg/arch/gptneox"
	"stuffed/pkg/arch/llama"
)

// Transformers in the layouts of the library of that name; older files hold masks and rotary frequencies too.
func init() {
	published{"llama", llama.Kind, as(llama.FromKeys), keysOf, llama.Tensor, []string{".rotary_emb.inv_freq"}}.register()
	published{"gpt-neox", gptneox.Kind, as(gptneox.FromKeys), keysOf, gptneox.Tensor,
		[]string{".attention.bias", ".attention.masked_bias", ".attention.rotary_emb.inv_freq"}}.register()
}
