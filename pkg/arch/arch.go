// Package arch loads the architectures of the program into the registry of package lm. What opens models or configurations by
// name imports it.
package arch

import (
	_ "stuffed/pkg/mamba2" // Mamba-2
)
