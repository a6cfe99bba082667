package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"runtime/debug"
	"sort"
	"strings"
	"sync"
	"time"
)

// What the suite is told by its environment.
var (
	endpoint        = os.Getenv("MILLSTREAM_ENDPOINT")
	keyedEndpoint   = os.Getenv("MILLSTREAM_KEYED_ENDPOINT")
	clockedEndpoint = os.Getenv("MILLSTREAM_CLOCKED_ENDPOINT")
	region          = os.Getenv("AWS_REGION")
	scheme          = strings.Split(endpoint, ":")[0]
)

type call struct{ operation, encoding, transport string }

type seen struct{ calls, answered int }

// What was called in the case that runs; subscriptions report from goroutines of their own.
var (
	current string
	calls   map[call]*seen
	guard   sync.Mutex
)

// called is told of every answer by the client's middleware.
func called(operation, encoding, transport string, status int) {
	guard.Lock()
	defer guard.Unlock()
	key := call{operation, encoding, transport}
	if calls[key] == nil {
		calls[key] = &seen{}
	}
	calls[key].calls++
	if status >= 200 && status < 300 {
		calls[key].answered++
	}
}

// line prints one line of JSON; tests/clients/README.md defines them.
func line(more map[string]any) {
	more["client"], more["scheme"], more["case"] = "go", scheme, current
	text, _ := json.Marshal(more)
	fmt.Println(string(text))
}

type testCase struct {
	name string
	body func()
}

// runAll runs the cases and ends the process by what became of them.
func runAll(cases []testCase) {
	failed := 0
	for _, each := range cases {
		if len(os.Args) > 1 && os.Args[1] != each.name {
			continue
		}
		if !runOne(each) {
			failed++
		}
	}
	if failed > 0 {
		os.Exit(1)
	}
}

func runOne(each testCase) (ok bool) {
	guard.Lock()
	current, calls = each.name, map[call]*seen{}
	guard.Unlock()
	started := time.Now()
	defer func() {
		failure := recover()
		ok = failure == nil
		guard.Lock()
		defer guard.Unlock()
		for key, count := range calls {
			line(map[string]any{
				"operation": key.operation, "encoding": key.encoding, "transport": key.transport,
				"calls": count.calls, "answered": count.answered, "ok": ok,
			})
		}
		result := map[string]any{"ok": ok, "seconds": math.Round(time.Since(started).Seconds()*100) / 100}
		if !ok {
			result["error"] = fmt.Sprint(failure)
			fmt.Fprintf(os.Stderr, "%s: %v\n%s\n", each.name, failure, debug.Stack())
		}
		line(result)
	}()
	each.body()
	return true
}

// check ends the case unless the condition holds.
func check(condition bool, format string, values ...any) {
	if !condition {
		panic(fmt.Sprintf(format, values...))
	}
}

func equal[T comparable](got, expected T, what string) {
	check(got == expected, "%s: expected %v, got %v", what, expected, got)
}

// must gives the answer of a call that may not fail.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// until waits for a condition with a deadline.
func until(what string, patience time.Duration, condition func() bool) {
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(50 * time.Millisecond) {
		check(time.Now().Before(deadline), "not within %v: %s", patience, what)
	}
}

func median(times []time.Duration) float64 {
	sort.Slice(times, func(a, b int) bool { return times[a] < times[b] })
	return float64(times[len(times)/2].Microseconds()) / 1000
}
