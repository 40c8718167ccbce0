// Package remembered keeps of each batch a compact fingerprint of its rows, so that rows
// that were sent before are noticed whatever the file's name, format or order. It is pure:
// reading rows, and reading and writing the topic of fingerprints, is left to others.
//
// A row is 64 bits of the SHA-256 of its task and state. A Builder collects the rows of a
// batch and makes a Filter of each 750,000: a binary fuse filter with eight bits for
// each row, which takes about nine bits a row in large filters and eleven in those of 3,000
// rows. As a record of a compacted topic, under a Key, a Filter has at most 900 KB.
//
// A Filter knows every row that was put into it, and takes one in 256 other rows for one of
// its own. So a few matches mean nothing: Asked counts the matches of many rows, and Match
// says how many of them are to be expected by chance. A row that is suspected has to be
// confirmed against the topics before anything is refused because of it.
//
// Memory: a Builder takes 8 bytes a row of one filter, and about 35 while it makes it. Asked
// takes 8 bytes a row, and of more than MaxAsked rows a sample.
package remembered
