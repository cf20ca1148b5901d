package paper

import (
	"stuffed/pkg/hub"
	"stuffed/pkg/report"
)

// ByteModel is the small byte model of an architecture that ships; opening it is an error where it is missing.
func ByteModel(architecture string) string { return "datasets/models/bytes-" + architecture }

// untrainedModel is the preset of that size, with initial weights.
func untrainedModel(architecture string) string {
	if architecture == "mamba2" {
		return "preset:byte"
	}
	return "preset:" + architecture + "/byte"
}

// ByteModels are small models of several architectures under their names: those that ship or, if asked for, untrained ones of
// that size.
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

// Extents of OwnModels.
const (
	Untrained = iota // two presets that need no files
	Shipped          // small models that ship in their place
	Published        // those on the hub
)

// ownArchitectures are the architectures that the paper shows, as hub.Known names them.
var ownArchitectures = map[string]bool{"Mamba-2": true, "Mamba-1": true, "RWKV-4": true, "RWKV-6": true, "HGRN-2": true}

// OwnModels are the models that the paper shows or names, or what stands in their place. Published ones whose authors do not
// state a training length are taken to have had 2,048 tokens.
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
