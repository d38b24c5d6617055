package toolbox

import (
	"runtime"
	"sync"
)

// spareThreads makes the Go runtime create n threads, which it keeps. A program
// that cannot create one when it needs one is ended by the runtime, and in a
// sandbox whose processes have used up the limit none can be created.
func spareThreads(n int) {
	var ready, done sync.WaitGroup
	ready.Add(n)
	done.Add(n)
	release := make(chan struct{})
	for range n {
		go func() {
			defer done.Done()
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			ready.Done()
			<-release
		}()
	}
	ready.Wait()
	close(release)
	done.Wait()
}
