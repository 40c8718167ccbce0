// Package redrive sends dead letters back to the topics that they came from, each once.
// Asking the user and printing is left to the command line.
//
// What went back is a set of offsets of the dead letter topic. Filters can leave gaps
// anywhere, so a committed offset alone can't express it: the set is stored as bitmaps in
// the commits of consumer groups without members (offsetSet), after Kafka acknowledged
// the copies. Each copy names the dead letter that it repeats
// (decision.HeaderRedrivenFrom).
//
// A redrive that ends early, even by kill -9, leaves copies that are not in the
// set yet. So each redrive begins by reading what the target topics received since the
// last one recorded their ends, and adds the copies that it finds. Where no ends are
// recorded, because Kafka drops a group's offsets after offsets.retention.minutes, it
// reads the target topics since the oldest dead letter, less an hour for clocks.
// A checkpoint commits the set, records the ends and commits the whole set again, in this
// order: then the ends never pass a copy that is not in the set, and Kafka drops the ends
// before it drops the set. The ends are those of the leaders' logs, with what is not
// replicated yet.
//
// A dead letter goes back only to a configured topic: whoever can write dead letters
// could otherwise make Verdict write to any topic. Two redrives at once would send the
// same letters, so a redrive holds a Lock.
//
// After a failed produce request the redrive reads whether the copies are in their topic
// before it sends them again. One gap remains: a request that reaches the broker more
// than a second after it failed here.
package redrive
