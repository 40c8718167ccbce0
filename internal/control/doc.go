// Package control is how people control what runs: it writes holds, cancels and rates into
// the ledger, and reads from it what the group does. Obeying them is left to the service,
// flags and printing to the command line.
//
// A change is read, made and written under the fence of its own key (Change), so that two
// commands at once come one after the other, and the audit topic has an act for each
// change that was made and for no other.
package control
