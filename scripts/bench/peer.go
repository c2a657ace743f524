// The benchmark's program in Go: net/http/fcgi, and net/http.
package main

import (
	"bytes"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/fcgi"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// Usage: peer SOCKET [http]; without, it serves the socket on descriptor 0
func main() {
	small := []byte("hello world\n")
	large := bytes.Repeat([]byte("x"), 64*1024)
	var listener net.Listener
	if len(os.Args) > 1 {
		var err error
		if listener, err = net.Listen("unix", os.Args[1]); err != nil {
			log.Fatal(err)
		}
	}
	// Live objects, for the benchmark of tails.
	count, _ := strconv.Atoi(os.Getenv("BENCH_OBJECTS"))
	objects := make([]*struct{ next *int }, count)
	for i := range objects {
		objects[i] = &struct{ next *int }{new(int)}
	}
	serve := fcgi.Serve
	if len(os.Args) > 2 {
		serve = http.Serve
	}
	log.Fatal(serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.RequestURI, "/wait") || strings.Contains(r.URL.Path, "/wait") {
			time.Sleep(time.Hour)
		}
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/plain")
		if strings.Contains(r.RequestURI, "/large") || strings.Contains(r.URL.Path, "/large") {
			w.Header().Set("Content-Length", strconv.Itoa(len(large)))
			w.Write(large)
		} else {
			w.Write(small)
		}
	})))
	runtime.KeepAlive(objects)
}
