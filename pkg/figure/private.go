package figure

import (
	"fmt"
	"os"
	"os/user"
	"regexp"
	"strings"
)

// absolute matches paths of a machine, not addresses such as https://arxiv.org/abs/2410.07145.
var absolute = regexp.MustCompile(`(?m)(?:^|[\s"'=(,>])((?:/(?:home|root|Users|tmp|var|opt|mnt|work|workspace|data|usr|etc|srv|private)(?:/[\w.@+-]+)+)|[A-Za-z]:\\+[\w.@+-]+)`)

// program is a name that every command holds, whoever is called so.
const program = "stuffed"

// Private returns an error that shows what in a text gives away the machine or its user: an absolute path, the
// home folder, the name of the host or of the user. What the project publishes must hold none of them.
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
