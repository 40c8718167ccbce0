// Package redrive sends dead letters back to the topics that they came from, each once, and
// dismisses those that somebody has dealt with. Asking the user and printing is left to the
// command line.
//
// What went back and what was dismissed is in the ledger, as bitmaps (ledger.Window) under
// the ID of the dead letter topic. A copy and its bit are written in one transaction, so
// that a run that ends early, even by kill -9 or in the middle of a request, leaves no copy
// without a bit and no bit without a copy.
//
// One run at a time owns the letters of a topic: it opens a store.Writer on the key of the
// topic, and its first Write puts an entry there that says who it is. Whoever comes next
// takes over, and Kafka refuses what the run before still sends.
//
// A run registers itself as a batch (BatchID), so that it is listed and can be held and
// cancelled; its copies name it in decision.HeaderRun.
//
// A dead letter goes back only to a configured topic: whoever can write dead letters
// could otherwise make Verdict write to any topic. What a letter says of earlier redrives
// counts only if the ledger says that the letter it names went back.
package redrive
