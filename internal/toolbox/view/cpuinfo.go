package view

import (
	"strings"
)

// cpuinfo is the kernel's text with as many processors as the sandbox has
// cores. What some architectures say after the processors stays.
func (v *View) cpuinfo() string {
	return firstProcessors(v.machine("cpuinfo"), v.group.Cores())
}

func firstProcessors(text string, n int) string {
	var b strings.Builder
	seen := 0
	for block := range strings.SplitAfterSeq(text, "\n\n") {
		if strings.HasPrefix(block, "processor") {
			if seen++; seen > n {
				continue
			}
		}
		b.WriteString(block)
	}
	return b.String()
}
