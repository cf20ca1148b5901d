package models

import (
	"stuffed/pkg/arch/fla"
	"stuffed/pkg/arch/gla"
	"stuffed/pkg/arch/hgrn2"
	"stuffed/pkg/arch/mamba1"
	"stuffed/pkg/arch/retnet"
	"stuffed/pkg/arch/rwkv4"
	"stuffed/pkg/arch/rwkv5"
	"stuffed/pkg/arch/rwkv6"
)

// Gated recurrences in the layout of flash-linear-attention, and those in the layouts of transformers and of the code that RWKV's files
// bring along.
func init() {
	published{"gla", gla.Kind, as(gla.FromKeys), keysOf, fla.Tensor, nil}.register()
	published{"hgrn2", hgrn2.Kind, as(hgrn2.FromKeys), keysOf, fla.Tensor, nil}.register()
	published{"retnet", retnet.Kind, as(retnet.FromKeys), keysOf, fla.Tensor, nil}.register()
	published{"rwkv4", rwkv4.Kind, as(rwkv4.FromKeys), keysOf, rwkv4.Tensor, nil}.register()
	published{"rwkv5", rwkv5.Kind, as(rwkv5.FromKeys), keysOf, rwkv5.Tensor, nil}.register()
	published{"rwkv6", rwkv6.Kind, as(rwkv6.FromKeys), keysOf, rwkv6.Tensor, nil}.register()
	published{"mamba1", mamba1.Kind, as(mamba1.FromKeys), keysOf, mamba1.Tensor, nil}.register()
}
