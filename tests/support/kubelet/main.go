// A stand-in for the kubelet: the endpoints that the API server passes exec, attach, port-forward
// and logs on to, served by the kubelet's own streaming code. There are no containers: commands
// run as processes of this machine, in the working directory of this program.
//
// Prints its URL as the first line on stdout and ends when stdin does. scripts/kube-assets builds
// it within the source tree of Kubernetes 1.20.2.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
	remotecommandconsts "k8s.io/apimachinery/pkg/util/remotecommand"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/kubernetes/pkg/kubelet/cri/streaming/portforward"
	remotecommandserver "k8s.io/kubernetes/pkg/kubelet/cri/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"
)

const (
	idleTimeout     = time.Hour
	creationTimeout = remotecommandconsts.DefaultStreamCreationTimeout
)

// The flags.
var (
	logLines = flag.Int("log-lines", 10, "how many lines every container has logged")
	logTick  = flag.Duration("log-tick", 50*time.Millisecond, "how often a container that is followed logs another line")
)

// runtime is what the streaming code asks of a container runtime.
type runtime struct{}

// ExecInContainer runs the command. Its exit code is the error.
func (runtime) ExecInContainer(_ string, _ types.UID, _ string, argv []string, in io.Reader, out, err io.WriteCloser, _ bool, _ <-chan remotecommand.TerminalSize, _ time.Duration) error {
	command := exec.Command(argv[0], argv[1:]...)
	command.Stdout, command.Stderr = out, err
	if in != nil {
		// Not command.Stdin: Wait would wait for the caller's end of input, too.
		pipe, failure := command.StdinPipe()
		if failure != nil {
			return failure
		}
		go func() {
			defer pipe.Close()
			_, _ = io.Copy(pipe, in)
		}()
	}
	failure := command.Run()
	var exit *exec.ExitError
	if errors.As(failure, &exit) {
		return utilexec.CodeExitError{Err: failure, Code: exit.ExitCode()}
	}
	return failure
}

// AttachContainer attaches to a process that answers every line; without input, to one that logs.
func (runtime) AttachContainer(_ string, _ types.UID, _ string, in io.Reader, out, _ io.WriteCloser, _ bool, _ <-chan remotecommand.TerminalSize) error {
	if in == nil {
		return writeLog(out, 1, *logLines, true, nil)
	}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		if _, err := fmt.Fprintf(out, "you said %s\n", lines.Text()); err != nil {
			return err
		}
	}
	return lines.Err()
}

// PortForward connects to a port of this machine.
func (runtime) PortForward(_ string, _ types.UID, port int32, stream io.ReadWriteCloser) error {
	connection, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))))
	if err != nil {
		return err
	}
	defer connection.Close()
	go func() {
		_, _ = io.Copy(connection, stream)
		_ = connection.(*net.TCPConn).CloseWrite()
	}()
	_, err = io.Copy(stream, connection)
	return err
}

// writeLog writes the lines `first` to `last` and, if it follows, another at every tick, until `done`
// or until nobody reads.
func writeLog(to io.Writer, first, last int, follow bool, done <-chan struct{}) error {
	tick := time.NewTicker(*logTick)
	defer tick.Stop()
	for line := first; ; line++ {
		if line > last {
			if !follow {
				return nil
			}
			select {
			case <-tick.C:
			case <-done:
				return nil
			}
		}
		if _, err := fmt.Fprintf(to, "line %d\n", line); err != nil {
			return err
		}
	}
}

func serveLogs(w http.ResponseWriter, r *http.Request) {
	query, first := r.URL.Query(), 1
	if tail, err := strconv.Atoi(query.Get("tailLines")); err == nil && tail < *logLines {
		first = *logLines - tail + 1
	}
	w.Header().Set("Transfer-Encoding", "chunked")
	_ = writeLog(flushing{w}, first, *logLines, query.Get("follow") == "true", r.Context().Done())
}

// flushing sends every write at once.
type flushing struct{ http.ResponseWriter }

func (w flushing) Write(data []byte) (int, error) {
	n, err := w.ResponseWriter.Write(data)
	w.ResponseWriter.(http.Flusher).Flush()
	return n, err
}

// serve answers /containerLogs/NS/POD/CONTAINER, /exec/NS/POD/CONTAINER, /attach/NS/POD/CONTAINER
// and /portForward/NS/POD.
func serve(w http.ResponseWriter, r *http.Request) {
	path := append(strings.Split(r.URL.Path, "/"), make([]string, 5)...)
	verb, pod, container := path[1], path[3], path[4]
	switch verb {
	case "containerLogs":
		serveLogs(w, r)
	case "portForward":
		options, err := portforward.NewV4Options(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		portforward.ServePortForward(w, r, runtime{}, pod, "", options, idleTimeout, creationTimeout, portforward.SupportedProtocols)
	case "exec", "attach":
		options, err := remotecommandserver.NewOptions(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		protocols := remotecommandconsts.SupportedStreamingProtocols
		if verb == "attach" {
			remotecommandserver.ServeAttach(w, r, runtime{}, pod, "", container, options, idleTimeout, creationTimeout, protocols)
		} else {
			argv := r.URL.Query()["command"]
			remotecommandserver.ServeExec(w, r, runtime{}, pod, "", container, argv, options, idleTimeout, creationTimeout, protocols)
		}
	default:
		http.NotFound(w, r)
	}
}

func main() {
	flag.Parse()
	// A certificate of its own; the API server of the tests does not ask for more.
	server := httptest.NewTLSServer(http.HandlerFunc(serve))
	fmt.Println(server.URL)
	_, _ = io.Copy(io.Discard, os.Stdin)
}
