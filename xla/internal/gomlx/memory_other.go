//go:build !noxla && !(linux && cgo)

package gomlx

func KeepMemory() {}
