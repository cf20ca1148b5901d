//go:build !noxla && !(linux && cgo)

package xla

func keepMemory() {}
