// What is tested of every program, in Go.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
)

func main() {
	var waiting sync.Map
	site := http.NewServeMux()
	site.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, "<h1>Hello</h1>")
	})
	site.HandleFunc("/visits", func(w http.ResponseWriter, r *http.Request) {
		visits := 0
		if cookie, err := r.Cookie("visits"); err == nil {
			visits, _ = strconv.Atoi(cookie.Value)
		}
		text := strconv.Itoa(visits + 1)
		http.SetCookie(w, &http.Cookie{Name: "visits", Value: text})
		fmt.Fprint(w, text)
	})
	site.HandleFunc("/form", func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		fields := map[string]string{}
		for name := range r.PostForm {
			fields[name] = r.PostForm.Get(name)
		}
		json.NewEncoder(w).Encode(fields)
	})
	site.HandleFunc("/upload", func(w http.ResponseWriter, r *http.Request) {
		file, head, err := r.FormFile("file")
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		content, _ := io.ReadAll(file)
		json.NewEncoder(w).Encode(map[string]any{
			"title": r.FormValue("title"), "name": head.Filename, "size": len(content), "last": content[len(content)-1],
		})
	})
	site.HandleFunc("/old", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "/new?a=1")
		w.WriteHeader(http.StatusFound)
	})
	site.HandleFunc("/throw", func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "failed for a test", http.StatusInternalServerError)
	})
	site.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) {
		if seen := r.FormValue("seen"); seen != "" {
			if going, ok := waiting.Load(seen); ok {
				close(going.(chan struct{}))
			}
			fmt.Fprint(w, "seen")
			return
		}
		going := make(chan struct{})
		waiting.Store(r.FormValue("id"), going)
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: first\n\n")
		w.(http.Flusher).Flush()
		<-going
		fmt.Fprint(w, "data: second\n\n")
	})
	listener, err := net.Listen("unix", os.Args[1])
	if err != nil {
		panic(err)
	}
	base := os.Getenv("SITE_BASE")
	root := http.NewServeMux()
	// It redirects from the path without the slash.
	root.Handle(base+"/", http.StripPrefix(base, site))
	http.Serve(listener, root)
}
