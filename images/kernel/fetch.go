package kernel

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ctmatrix/ctmatrix/images/kernel/apt"
)

const (
	headerTimeout = 30 * time.Second
	// defaultPatience is how long a download may bring less than leastBytes: a
	// mirror that lets a byte drip now and then must not hold a run for ever.
	defaultPatience = 60 * time.Second
	leastBytes      = 16 << 10
)

// errNotFound: the server does not have the file.
var errNotFound = errors.New("not found")

// fetcher downloads from mirrors.
type fetcher struct {
	client   *http.Client
	progress Progress
	patience time.Duration
}

func newFetcher(o Options) *fetcher {
	f := &fetcher{client: o.HTTP, progress: o.Progress, patience: cmp.Or(o.Patience, defaultPatience)}
	if f.client == nil {
		t := http.DefaultTransport.(*http.Transport).Clone() // the default is of that type
		t.ResponseHeaderTimeout = headerTimeout
		f.client = &http.Client{Transport: t}
	}
	if f.progress == nil {
		f.progress = noProgress{}
	}
	return f
}

// remote is a file on a mirror and what is known of it.
type remote struct {
	label string   // what the user is told is being downloaded
	urls  []string // tried in order while they are not found
	hash  apt.Hash // the zero value where nothing vouches for the file
	limit int64    // for such a file
}

// download writes a file to w and checks it. What was written is of no use when
// it returns an error. The errors are errNotFound, ErrCorrupt and those of the
// network, wrapped.
func (f *fetcher) download(ctx context.Context, src remote, w io.Writer) error {
	var err error
	for _, u := range src.urls {
		err = f.one(ctx, u, src, w)
		if !errors.Is(err, errNotFound) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("download %s: %w", src.label, err)
	}
	return nil
}

func (f *fetcher) one(ctx context.Context, u string, src remote, w io.Writer) (err error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	resp, err := f.get(ctx, u, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close() // only read
	if resp.StatusCode != http.StatusOK {
		return statusError(resp)
	}
	limit := src.limit
	if src.hash.SHA256 != "" {
		limit = src.hash.Size
	}
	task := f.progress.Start(src.label, max(src.hash.Size, resp.ContentLength, 0))
	defer func() { task.Done(err) }()

	h := sha256.New()
	body := newPatient(resp.Body, f.patience, stop, task)
	defer body.stop()
	n, err := io.Copy(io.MultiWriter(w, h), io.LimitReader(body, limit+1))
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return cutOff(err, n, resp.ContentLength)
	}
	return checkContent(n, limit, hex.EncodeToString(h.Sum(nil)), src.hash)
}

func checkContent(n, limit int64, sum string, want apt.Hash) error {
	if want.SHA256 == "" {
		if n > limit {
			return fmt.Errorf("%w: more than %d bytes", ErrCorrupt, limit)
		}
		return nil
	}
	if n != want.Size {
		return fmt.Errorf("%w: %d bytes or more, want %d", ErrCorrupt, n, want.Size)
	}
	if sum != want.SHA256 {
		return fmt.Errorf("%w: sha256 %.16s…, want %.16s…", ErrCorrupt, sum, want.SHA256)
	}
	return nil
}

// small returns a small file that nothing vouches for yet, at most limit bytes.
func (f *fetcher) small(ctx context.Context, u string, header http.Header, limit int64) (*http.Response, []byte, error) {
	ctx, stop := context.WithTimeoutCause(ctx, f.patience, fmt.Errorf("%s: not there after %s", hostOf(u), f.patience))
	defer stop()
	resp, err := f.get(ctx, u, header)
	if err != nil {
		return nil, nil, cmpErr(context.Cause(ctx), err)
	}
	defer resp.Body.Close() // only read
	switch resp.StatusCode {
	case http.StatusNotModified:
		return resp, nil, nil
	case http.StatusOK:
	default:
		return nil, nil, statusError(resp)
	}
	var b bytes.Buffer
	n, err := io.Copy(&b, io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, nil, cmpErr(context.Cause(ctx), cutOff(err, n, resp.ContentLength))
	}
	if n > limit {
		return nil, nil, fmt.Errorf("more than %d bytes", limit)
	}
	return resp, b.Bytes(), nil
}

func (f *fetcher) get(ctx context.Context, u string, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"If-None-Match", "If-Modified-Since"} {
		if v := header.Get(name); v != "" {
			req.Header.Set(name, v)
		}
	}
	// What is compressed is so by its name: no encoding on top.
	req.Header.Set("Accept-Encoding", "identity")
	resp, err := f.client.Do(req)
	var ue *url.Error
	if errors.As(err, &ue) {
		// Says method and URL, which the caller words shorter.
		err = ue.Err
	}
	var oe *net.OpError
	if errors.As(err, &oe) {
		err = oe.Err // without the address once more
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", hostOf(u), err)
	}
	return resp, nil
}

// cutOff says in plain words that a body ended early: after n bytes, of as many
// as were announced.
func cutOff(err error, n, announced int64) error {
	if errors.Is(err, io.ErrUnexpectedEOF) && announced > 0 {
		return fmt.Errorf("cut off after %d of %d bytes: %w", n, announced, err)
	}
	return err
}

func hostOf(u string) string {
	if p, err := url.Parse(u); err == nil {
		return p.Host
	}
	return u
}

func statusError(resp *http.Response) error {
	if resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusGone {
		return fmt.Errorf("%s: %w", resp.Request.URL.Host, errNotFound)
	}
	// In our words: what the mirror says beside the number may be anything.
	return fmt.Errorf("%s: the mirror answers %s", resp.Request.URL.Host, strings.TrimSpace(fmt.Sprint(resp.StatusCode, " ", http.StatusText(resp.StatusCode))))
}

// join appends a path to a base URL.
func join(base, path string) string {
	return strings.TrimRight(base, "/") + "/" + (&url.URL{Path: path}).EscapedPath()
}

// patient reads a body, reports what came, and cancels the request when too
// little comes.
type patient struct {
	r    io.Reader
	task Task
	came atomic.Int64 // since the last look
	done chan struct{}
}

func newPatient(r io.Reader, patience time.Duration, cancel context.CancelCauseFunc, task Task) *patient {
	p := &patient{r: r, task: task, done: make(chan struct{})}
	go p.watch(patience, cancel)
	return p
}

// watch looks after each patience whether enough has come since the last look.
func (p *patient) watch(patience time.Duration, cancel context.CancelCauseFunc) {
	look := time.NewTicker(patience)
	defer look.Stop()
	for {
		select {
		case <-p.done:
			return
		case <-look.C:
		}
		switch n := p.came.Swap(0); {
		case n == 0:
			cancel(fmt.Errorf("nothing came for %s", patience))
		case n < leastBytes:
			cancel(fmt.Errorf("only %d bytes came in %s", n, patience))
		}
	}
}

func (p *patient) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.came.Add(int64(n))
	p.task.Add(int64(n))
	return n, err
}

func (p *patient) stop() { close(p.done) }

// noProgress is told nothing of interest.
type noProgress struct{}

func (noProgress) Start(string, int64) Task { return noProgress{} }
func (noProgress) Add(int64)                {}
func (noProgress) Done(error)               {}
