// Pause holds a pod's namespaces: it sleeps until it is told to end, and reaps what its neighbours leave behind.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for received := range signals {
		if received != syscall.SIGCHLD {
			return
		}
		for {
			child, _ := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
			if child <= 0 {
				break
			}
		}
	}
}
