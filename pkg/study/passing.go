package study

import (
	"errors"
	"regexp"
	"syscall"
)

// ErrCrowded means that device memory ran out beside other workers; the row was handed back.
var ErrCrowded = errors.New("the device is too small for its workers")

// ErrFault means that the device answered no more after a row had failed; a new process may have it work again.
var ErrFault = errors.New("the device does not answer any more")

// lacks are what a machine lacks for a while.
var lacks = []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EAGAIN, syscall.EBUSY, syscall.ESTALE}

// lacking are the words for these in messages that come from other processes and libraries, and CUDA's for a device in use.
var lacking = regexp.MustCompile(`(?i)no space left on device|quota exceeded|too many open files|cannot allocate memory|resource temporarily unavailable|` +
	`resource busy|stale file handle|busy or unavailable|DEVICE_UNAVAILABLE|ALREADY_IN_USE`)

// Passing reports whether an error comes from a lack that passes, such as a full disk, too many open files or a device that is in use. Whatever
// met it may succeed later unchanged. Device memory is another matter, see xla.OutOfMemory.
func Passing(err error) bool {
	if err == nil {
		return false
	}
	for _, lack := range lacks {
		if errors.Is(err, lack) {
			return true
		}
	}
	return lacking.MatchString(err.Error())
}
