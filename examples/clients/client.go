// Reads a key, waits for its next value, then follows it.
// go run client.go http://localhost:8001/kv/default/web-configmap/GREETING
package main

import "net/http"
import "os"

func get(headers http.Header, label string) *http.Response {
	request, _ := http.NewRequest("GET", os.Args[1], nil)
	request.Header = headers
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		panic(err)
	}
	if answer.StatusCode == 200 {
		os.Stdout.WriteString(label)
		os.Stdout.ReadFrom(answer.Body)
		os.Stdout.WriteString("\n")
	}
	return answer
}

func main() {
	answer := get(http.Header{}, "read ")
	// Long-poll: the answer comes with the change, or a 304 after a minute.
	for ok := true; ok; ok = answer.StatusCode == 304 {
		answer = get(http.Header{"If-None-Match": answer.Header["Etag"], "Prefer": {"wait=60"}}, "changed ")
	}
	// Stream: the value as it is, then each change.
	get(http.Header{"Accept": {"text/event-stream"}}, "")
}
