//go:build unix

package main

import (
	"os"
	"syscall"
)

// stopSignals end a command cleanly. Slurm and other schedulers send USR1 or TERM before a time limit.
var stopSignals = []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGUSR1}
