package paper

import (
	"stuffed/pkg/hub"
	"stuffed/pkg/report"
)

// ByteModel returns the path of the small shipped byte model of an architecture; opening it fails where it is missing.
func ByteModel(architecture string) string { return "datasets/models/bytes-" + architecture }

// untrainedModel returns the preset of that size, with initial weights.
func untrainedModel(architecture string) string {
	if architecture == "mamba2" {
		return "preset:byte"
	}
	return "preset:" + architecture + "/byte"
}

// ByteModels returns small models of several architectures with their names: those that ship or, with initial, untrained ones of
// the same size.
func ByteModels(architectures []string, initial bool) (all []report.Named) {
	for _, a := range architectures {
		model := ByteModel(a)
		if initial {
			model = untrainedModel(a)
		}
		all = append(all, report.Named{Label: a, Model: model, TrainLength: 128})
	}
	return all
}

// Which models [OwnModels] returns.
const (
	Untrained = iota // two presets that need no files
	Shipped          // small models that ship, in place of the published ones
	Published        // those on the hub
)

// ownArchitectures lists the architectures that the paper shows, as hub.Known names them.
var ownArchitectures = map[string]bool{"Mamba-2": true, "Mamba-1": true, "RWKV-4": true, "RWKV-6": true, "HGRN-2": true}

// OwnModels returns the models that the paper shows or names, or what stands in for them. Published models whose authors state no
// training length are taken to have been trained on 2,048 tokens.
func OwnModels(extent int) (all []report.Named) {
	switch extent {
	case Untrained:
		return ByteModels([]string{"mamba2", "mamba1"}, true)
	case Shipped:
		for _, a := range []string{"mamba2", "mamba1", "rwkv6", "hgrn2"} {
			all = append(all, report.Named{Label: ArchitectureNames[a], Model: ByteModel(a), TrainLength: 128})
		}
		return append(all, report.Named{Label: "Mamba-2, T 64", Model: "datasets/models/text-t64", TrainLength: 64})
	}
	for _, k := range hub.Known {
		if !ownArchitectures[k.Architecture] {
			continue
		}
		length := k.TrainLength
		if length == 0 {
			length = 2048
		}
		all = append(all, report.Named{Label: k.Name, Model: k.Name, TrainLength: length})
	}
	return all
}
