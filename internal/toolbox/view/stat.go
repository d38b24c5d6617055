package view

import (
	"fmt"
	"strings"
	"time"
)

// look brings the usage up to date and calls with while nobody changes it. It
// is false when the group tells nothing.
func (v *View) look(with func()) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	used, ok := v.group.CPU()
	if ok {
		v.usage.look(time.Now(), used, v.group.Cores())
		with()
	}
	return ok
}

// stat is as proc_stat(5) with a line for each core that the sandbox has. What
// the kernel counts for the machine only is 0.
func (v *View) stat() string {
	kernel := v.machine("stat")
	var b strings.Builder
	ok := v.look(func() {
		v.usage.total().line(&b, "cpu ")
		for i, c := range v.usage.cores[:v.usage.now] {
			c.line(&b, fmt.Sprintf("cpu%d", i))
		}
		fmt.Fprintf(&b, "intr 0\nctxt 0\n%sprocesses %s\nprocs_running %d\nprocs_blocked 0\nsoftirq 0 0 0 0 0 0 0 0 0 0 0\n",
			line(kernel, "btime"), v.lastPID(), v.usage.running)
	})
	if !ok {
		return kernel
	}
	return b.String()
}

// line writes user, nice, system, idle and six that are not known, in ticks.
func (c core) line(b *strings.Builder, name string) {
	const tick = time.Second / 100
	fmt.Fprintf(b, "%s %d 0 %d %d 0 0 0 0 0 0\n", name, c.user/tick, c.system/tick, c.idle/tick)
}

// line is the line that begins with a word, with its end.
func line(text, word string) string {
	for l := range strings.Lines(text) {
		if strings.HasPrefix(l, word+" ") {
			return l
		}
	}
	return ""
}

// uptime is how long the sandbox runs, by its time namespace, and how long its
// cores did nothing, added up.
func (v *View) uptime() string {
	kernel := v.machine("uptime")
	up, _, found := strings.Cut(kernel, " ")
	var idle time.Duration
	if !v.look(func() { idle = v.usage.total().idle }) || !found {
		return kernel
	}
	return fmt.Sprintf("%s %.2f\n", up, idle.Seconds())
}

// loadavg is as proc_loadavg(5).
func (v *View) loadavg() string {
	text := ""
	ok := v.look(func() {
		l := v.usage.load
		text = fmt.Sprintf("%.2f %.2f %.2f %d/%d %s\n", l[0], l[1], l[2], v.usage.running, v.group.Tasks(), v.lastPID())
	})
	if !ok {
		return v.machine("loadavg")
	}
	return text
}

// lastPID is the newest process id of the sandbox, which the kernel tells by
// the pid namespace. As ids count up it is also how many processes there were.
func (v *View) lastPID() string {
	fields := strings.Fields(v.machine("loadavg"))
	if len(fields) < 5 {
		return "1"
	}
	return fields[4]
}
