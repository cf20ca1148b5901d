// Package seam has only tests. They read the sources: nothing above package lm reaches into an architecture, every package has an
// Example.
package seam
