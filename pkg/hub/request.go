package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	maxRedirects = 8
	tries        = 5
)

// Error is a refusal by the hub.
type Error struct {
	Name    string // of the model, with a file where one was asked for
	Status  int
	Code    string // X-Error-Code: GatedRepo, RepoNotFound, RevisionNotFound, EntryNotFound …
	Message string // X-Error-Message
	Advice  string // what to do
	wait    time.Duration
}

func (e *Error) Error() string {
	text := fmt.Sprintf("%s: the hub answers %d %s", e.Name, e.Status, http.StatusText(e.Status))
	if e.Message != "" {
		text += fmt.Sprintf(" (%.300s)", e.Message)
	} else if e.Code != "" {
		text += " (" + e.Code + ")"
	}
	return text + ": " + e.Advice
}

func (c *Client) refusal(name Name, file string, a *http.Response) *Error {
	e := &Error{Name: name.String(), Status: a.StatusCode, Code: a.Header.Get("X-Error-Code"), Message: a.Header.Get("X-Error-Message")}
	if file != "" {
		e.Name += " " + file
	}
	page := c.Endpoint + "/" + name.Repo
	switch {
	case e.Code == "GatedRepo" && c.Token == "", e.Status == 403 && c.Token == "":
		e.Advice = "accept the model's conditions at " + page + " and set HF_TOKEN to a token of that account"
	case e.Code == "GatedRepo", e.Status == 403:
		e.Advice = "the account of HF_TOKEN may not read it; ask for access at " + page
	case e.Code == "RevisionNotFound":
		e.Advice = fmt.Sprintf("there is no revision %q; see %s/commits", name.Revision, page)
	case e.Code == "EntryNotFound":
		e.Advice = "the model has no such file; see " + page + "/tree/" + name.Revision
	case e.Status == 401 && c.Token != "" && e.Code != "RepoNotFound":
		e.Advice = "HF_TOKEN is not accepted; make a new one, or unset it for models that need none"
	case e.Status == 401 || e.Status == 404:
		e.Advice = "there is no model of that name, or it is private; check the name, and set HF_TOKEN for a private one"
	case e.Status == 429:
		e.Advice = "too many requests; wait a few minutes, or set HF_TOKEN"
	case e.Status >= 500:
		e.Advice = "the hub has a fault; try again later, or another address in HF_ENDPOINT"
	default:
		e.Advice = "see " + page
	}
	if seconds, err := strconv.Atoi(a.Header.Get("Retry-After")); err == nil && seconds >= 0 {
		e.wait = time.Duration(min(seconds, 60)) * time.Second
	}
	return e
}

// unreachable is a failure of the network rather than an answer.
type unreachable struct {
	endpoint string
	cause    error
}

func (u *unreachable) Error() string {
	return fmt.Sprintf("the hub at %s cannot be reached (%v): check the network and HF_ENDPOINT, or set HF_HUB_OFFLINE=1 to use the cache alone", u.endpoint, u.cause)
}

func (u *unreachable) Unwrap() error { return u.cause }

var defaultTransport = &http.Transport{
	Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
	ForceAttemptHTTP2: true, TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: 60 * time.Second, IdleConnTimeout: 60 * time.Second,
	DisableCompression: true, // sizes and ranges are those of the file
}

// send makes one request, follows redirects, and returns an answer below 400. A HEAD request ends at the first answer of the
// endpoint that describes the file, or sends elsewhere. The token stays with the endpoint, and is not taken up again once a redirect
// has led away.
func (c *Client) send(ctx context.Context, method, address string, name Name, file string, from int64) (*http.Response, error) {
	home, err := url.Parse(c.Endpoint)
	if err != nil {
		return nil, err
	}
	client := http.Client{Transport: c.transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if client.Transport == nil {
		client.Transport = defaultTransport
	}
	trusted := true
	for range maxRedirects {
		q, err := http.NewRequestWithContext(ctx, method, address, nil)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		q.Header.Set("User-Agent", "stuffed")
		q.Header.Set("Accept-Encoding", "identity")
		trusted = trusted && q.URL.Scheme == home.Scheme && q.URL.Host == home.Host
		if trusted && c.Token != "" {
			q.Header.Set("Authorization", "Bearer "+c.Token)
		}
		if from > 0 {
			q.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
		}
		a, err := client.Do(q)
		if err != nil {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			return nil, &unreachable{q.URL.Scheme + "://" + q.URL.Host, bare(err)}
		}
		if a.StatusCode >= 400 {
			a.Body.Close()
			return nil, c.refusal(name, file, a)
		}
		if a.StatusCode < 300 || a.StatusCode == http.StatusNotModified {
			return a, nil
		}
		to, err := a.Location()
		if err != nil {
			a.Body.Close()
			return nil, fmt.Errorf("%s: the hub answers %s without saying where to", name, a.Status)
		}
		if method == http.MethodHead && (a.Header.Get("X-Linked-Etag") != "" || to.Host != home.Host) {
			return a, nil
		}
		a.Body.Close()
		if q.URL.Scheme == "https" && to.Scheme != "https" {
			return nil, fmt.Errorf("%s: the hub sends from https on to %s://%s, which is not followed", name, to.Scheme, to.Host)
		}
		address = to.String()
	}
	return nil, fmt.Errorf("%s: more than %d redirects", name, maxRedirects)
}

// bare leaves out the address of a failed request, which may hold a signature.
func bare(err error) error {
	var failed *url.Error
	if errors.As(err, &failed) {
		return failed.Err
	}
	return err
}

// again reports whether a failed request is worth another try, and after what pause at least.
func again(err error) (yes bool, wait time.Duration) {
	var refused *Error
	var lost *unreachable
	switch {
	case errors.As(err, &refused):
		return refused.Status == 429 || refused.Status >= 500, refused.wait
	case errors.As(err, &lost):
		var timeout net.Error
		return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || strings.Contains(err.Error(), "connection reset") ||
			errors.As(err, &timeout) && timeout.Timeout(), 0
	}
	return false, 0
}

// ask is send, tried again where the hub is busy or the connection broke.
func (c *Client) ask(ctx context.Context, method, address string, name Name, file string) (a *http.Response, err error) {
	for try := 1; ; try++ {
		if a, err = c.send(ctx, method, address, name, file, 0); err == nil {
			return a, nil
		}
		yes, wait := again(err)
		if !yes || try == tries {
			return nil, err
		}
		if err := c.sleep(ctx, try, wait); err != nil {
			return nil, err
		}
	}
}

func (c *Client) sleep(ctx context.Context, try int, least time.Duration) error {
	pause := c.pause
	if pause == 0 {
		pause = time.Second
	}
	select {
	case <-time.After(max(pause<<(try-1), least)):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
