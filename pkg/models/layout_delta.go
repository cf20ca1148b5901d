package models

import (
	"stuffed/pkg/arch/deltanet"
	"stuffed/pkg/arch/fla"
	"stuffed/pkg/arch/gateddeltanet"
	"stuffed/pkg/arch/kda"
	"stuffed/pkg/arch/rwkv7"
)

// Delta rules in the layout of flash-linear-attention.
func init() {
	published{"deltanet", deltanet.Kind, as(deltanet.FromKeys), keysOf, fla.Tensor, nil}.register()
	for _, kind := range []string{gateddeltanet.Kind, gateddeltanet.Additive} {
		published{"gated-deltanet", kind, as(gateddeltanet.FromKeys), keysOf, fla.Tensor, nil}.register()
	}
	published{"kda", kda.Kind, as(kda.FromKeys), keysOf, fla.Tensor, nil}.register()
	published{"rwkv7", rwkv7.Kind, as(rwkv7.FromKeys), keysOf, rwkv7.Tensor, nil}.register()
}
