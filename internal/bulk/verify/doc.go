// Package verify compares a batch with the API: it asks for each task whose decision ended
// as completed or already_complete, and reports those that are in another state by now. It
// writes nothing to Kafka, and nothing to the API. Which results count is left to package
// follow, printing to the command line.
//
// A task is expected in the state of the batch's last decision on it that was carried out:
// the one with the highest offset; of two partitions, which a batch does not use for one
// task, the one completed later. Decisions without such a result are only counted.
//
// Tasks are asked for in the order of their hashes. It is the same on every machine, so a
// checkpoint needs no more than the place in it, and it spreads the calls over profiles: what
// is seen first is a fair sample of the batch.
//
// Memory: what follow holds while it reads, five bytes an offset, and then 16 bytes a
// decision (up to twice that while the list grows). What else is known of a decision, about
// 60 bytes and its ID, is in a temporary file without a name.
package verify
