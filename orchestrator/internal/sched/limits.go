package sched

import "time"

// How long each phase of a guest may take, of its own time (see vm.VM.Within): a host
// that is slow or busy gives it more. They are some thirty times what a working guest
// needs on an idle host: eighteen threads that share two CPUs also take the caches from
// each other, and a 5.10 that had five seconds to itself had not printed a thing. They
// end hangs, they do not measure. Whatever a guest says or does begins the next phase,
// so that all of them together end.
const (
	firstTime = 45 * time.Second // from QEMU's answer to the first output
	initTime  = 90 * time.Second // to init, which is the whole of a kernel's boot
	readyTime = 90 * time.Second // to the agent, with all modules
	dialTime  = 45 * time.Second // to its answer
	helloTime = 60 * time.Second // to the suite's first words
	probeTime = 90 * time.Second // of each probe, and of what is between two
	// settleTime is how long a guest that fell silent may take to end of itself.
	settleTime = 3 * time.Second
	// nmiTime is how long a kernel that was interrupted may take to say where it is.
	nmiTime = 5 * time.Second
	// stopTime is how long a guest may take to be ended, of the host's time.
	stopTime = 20 * time.Second
)

// mostLost bounds how many guests of a cell may be lost before what is left of it is
// given up.
const mostLost = 10
