package server

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// OwnCPU returns the seconds of CPU that this process has used so far.
func OwnCPU() (float64, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("getrusage: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds(), nil
}

// ticks is how many of its units of time Linux counts in a second, on every
// architecture that Go runs on.
const ticks = 100

// A process is what /proc says of one.
type process struct {
	pid, parent int
	name        string
	own, reaped float64 // seconds of CPU: its own, and of its children that ended
}

// readProcess reads /proc/<pid>/stat.
func readProcess(pid string) (process, error) {
	text, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	if err != nil {
		return process{}, fmt.Errorf("read process %s: %w", pid, err)
	}
	// The name is in parentheses and may hold anything.
	open, end := strings.IndexByte(string(text), '('), strings.LastIndexByte(string(text), ')')
	if open < 0 || end < open {
		return process{}, fmt.Errorf("read process %s: unknown format", pid)
	}
	fields := strings.Fields(string(text[end+1:]))
	if len(fields) < 15 {
		return process{}, fmt.Errorf("read process %s: too few fields", pid)
	}
	number := func(i int) int {
		n, _ := strconv.Atoi(fields[i]) // the kernel writes nothing but numbers there
		return n
	}
	p := process{parent: number(1), name: string(text[open+1 : end])}
	p.pid, _ = strconv.Atoi(pid) // it was found as a number, or came from one
	p.own = float64(number(11)+number(12)) / ticks
	p.reaped = float64(number(13)+number(14)) / ticks
	return p, nil
}

// processes lists all processes that can be read. One that ends meanwhile is left
// out.
func processes() ([]process, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var list []process
	for _, dir := range dirs {
		if p, err := readProcess(filepath.Base(dir)); err == nil {
			list = append(list, p)
		}
	}
	return list, nil
}

// familyCPU returns what a process, its children and those of its children that
// have ended used.
func familyCPU(parent int) (float64, error) {
	list, err := processes()
	if err != nil {
		return 0, err
	}
	var sum float64
	for _, p := range list {
		switch parent {
		case p.pid:
			sum += p.own + p.reaped
		case p.parent:
			sum += p.own
		}
	}
	return sum, nil
}
