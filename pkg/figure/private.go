package figure

import (
	"fmt"
	"os"
	"os/user"
	"regexp"
	"strings"
)

// absolute matches absolute file paths but not URLs such as https://arxiv.org/abs/2410.07145.
var absolute = regexp.MustCompile(`(?m)(?:^|[\s"'=(,>])((?:/(?:home|root|Users|tmp|var|opt|mnt|work|workspace|data|usr|etc|srv|private)(?:/[\w.@+-]+)+)|[A-Za-z]:\\+[\w.@+-]+)`)

// program occurs in every command and is not private even if the user has the same name.
const program = "stuffed"

// Private returns an error that quotes whatever in a text identifies the machine or its user: an absolute path, the home folder, the host
// name or the user name. Nothing that the project publishes may contain these.
func Private(text []byte) error {
	s := string(text)
	if m := absolute.FindStringSubmatch(s); m != nil {
		return fmt.Errorf("holds the absolute path %q", m[1])
	}
	if home, err := os.UserHomeDir(); err == nil && len(home) > 5 && strings.Contains(s, home) {
		return fmt.Errorf("holds the home folder %q", home)
	}
	if host, err := os.Hostname(); err == nil && len(host) > 4 && host != "localhost" && word(s, host) {
		return fmt.Errorf("holds the host name %q", host)
	}
	if u, err := user.Current(); err == nil && len(u.Username) > 4 && u.Username != program && word(s, u.Username) {
		return fmt.Errorf("holds the user name %q", u.Username)
	}
	return nil
}

func word(s, w string) bool {
	return regexp.MustCompile(`(^|[^\w-])` + regexp.QuoteMeta(w) + `($|[^\w-])`).MatchString(s)
}
