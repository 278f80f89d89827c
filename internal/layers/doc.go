// Package layers holds the rules of the house that no compiler checks: who may
// import whom, what the module may depend on, and what every package must carry.
// It has tests only.
//
// # Guarantees
//
// Each rule is one test, and names the file at fault and what to do. The tests
// read the source; they need neither the network nor the go command.
package layers
