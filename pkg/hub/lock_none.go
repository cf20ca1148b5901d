//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package hub

import "context"

// lock does nothing here: two processes then fetch a file twice, at the same places of the same file.
func (c *Client) lock(context.Context, Name, string) (unlock func(), err error) {
	return func() {}, nil
}
