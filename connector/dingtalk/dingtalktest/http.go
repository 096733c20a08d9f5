package dingtalktest

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxBody is how much of a request's body is read, in bytes; a token request has a hundred.
const maxBody = 64 << 10

// dripPieces is into how many pieces Drip cuts a body.
const dripPieces = 20

// newCall takes from a request what the server looks at. An unreadable or too long body is no JSON.
func newCall(r *http.Request, foreign, acceptGzip bool) *call {
	c := &call{
		method: r.Method, path: r.URL.Path, query: r.URL.Query(), token: r.Header.Get("x-acs-dingtalk-access-token"),
		acceptGz: acceptGzip, foreign: foreign,
	}
	c.address, _, _ = net.SplitHostPort(r.RemoteAddr)
	if r.Body != nil {
		body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
		mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
		c.body, c.json = body, err == nil && mediaType == "application/json"
	}
	return c
}

// ServeHTTP serves a call over a real connection. A broken connection is a real one, or [http.ErrAbortHandler] where the connection
// cannot be had.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.respond(w, r, s.foreign(r.Host))
}

func (s *Server) respond(w http.ResponseWriter, r *http.Request, foreign bool) {
	a := s.serve(newCall(r, foreign, strings.Contains(r.Header.Get("Accept-Encoding"), "gzip"))).sized()
	ctx := r.Context()
	if wait(ctx, a.delayBefore()) != nil {
		panic(http.ErrAbortHandler)
	}
	if !a.wire.Answers() {
		if a.wire == Hang {
			<-ctx.Done()
		}
		reset(w)
	}
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.WriteHeader(a.status)
	for i, piece := range a.pieces() {
		if i > 0 && wait(ctx, a.pauseBetween()) != nil {
			panic(http.ErrAbortHandler)
		}
		if _, err := w.Write(piece); err != nil {
			return
		}
		if a.wire != Intact {
			_ = http.NewResponseController(w).Flush() // a writer that cannot flush shows it later
		}
	}
	switch a.wire {
	case Stall:
		<-ctx.Done()
		panic(http.ErrAbortHandler)
	case ResetBody:
		reset(w)
	case Truncate, TruncateChunked:
		panic(http.ErrAbortHandler)
	}
	s.delivered(a)
}

// reset ends the connection so that the client reads ECONNRESET, and the handler with it.
func reset(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // without it the client reads a plain end, which is as broken
		}
		_ = conn.Close()
	}
	panic(http.ErrAbortHandler)
}

// sized announces the length of the body, where an answer of this kind does.
func (a *answer) sized() *answer {
	if a.wire != TruncateChunked && a.status != http.StatusNoContent {
		a.header.Set("Content-Length", strconv.Itoa(len(a.body)))
	}
	return a
}

// delayBefore is how long the first byte takes.
func (a *answer) delayBefore() time.Duration {
	if a.wire == Drip {
		return a.delay
	}
	return a.delay + a.pause
}

func (a *answer) pauseBetween() time.Duration { return a.pause / dripPieces }

// pieces are the parts of the body that are sent at all, one after the other.
func (a *answer) pieces() [][]byte {
	switch a.wire {
	case Stall, Truncate, TruncateChunked, ResetBody:
		return [][]byte{a.body[:len(a.body)/2]}
	case Drip:
		var pieces [][]byte
		for i := range dripPieces {
			pieces = append(pieces, a.body[i*len(a.body)/dripPieces:(i+1)*len(a.body)/dripPieces])
		}
		return pieces
	}
	return [][]byte{a.body}
}

func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func compress(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(b) // a bytes.Buffer takes everything
	_ = w.Close()
	return out.Bytes()
}
