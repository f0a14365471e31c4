// Package lab is the bench on which probes put the kernel: network namespaces,
// tun devices whose far ends the agent holds, sysctls, and rules loaded over
// netlink.
//
// A Box belongs to the thread that set it up: whoever uses one has locked its
// goroutine to that thread, and nothing here is safe for concurrent use.
//
// # Fences
//
// The lab never sleeps to let packets pass. Both ends of each device exchange
// frames of an experimental EtherType: a frame written behind some packets is
// received by a socket on the device, which proves that the packets before it
// went through the receive path; the socket sends one back, which is read from
// the device behind everything the kernel sent in between. Such frames are not
// IP, so no hook, rule or tracking ever sees them and they take no table slot.
//
// # Traces
//
// A Witness takes down what a probe could leave behind in the initial namespace
// and the kernel: two such States differ in Traces, most of which it can undo.
// What a probe leaves in a child namespace goes with it; that the namespace
// itself goes is waited for.
package lab
