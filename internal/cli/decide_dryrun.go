package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"verdict/internal/decision"
	"verdict/internal/policy"
)

// dryRun prints what a file of check results would decide, starting without
// counts. It reads the file once and keeps only the counts in memory.
func dryRun(ctx context.Context, s Process, policies policy.Set, file string) error {
	in := s.In
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	out := bufio.NewWriter(s.Out)
	t := dryRunTable{out: out, counts: policy.NewCounts(policies), effects: make(map[string]int), states: make(map[decision.State]int)}
	err := t.run(ctx, in)
	if err != nil {
		err = fmt.Errorf("read %s: %w", file, err)
	}
	return errors.Join(err, out.Flush())
}

// dryRunTable prints rows as it reads, so the widths of its columns are fixed.
type dryRunTable struct {
	out     io.Writer
	counts  *policy.Counts
	effects map[string]int         // rows by their column EFFECT
	states  map[decision.State]int // decisions
	lines   int                    // of the file so far
}

const dryRunRow = "%-6s %-36s %-36s %-36s %-7s %-15s %s\n"

func (t *dryRunTable) run(ctx context.Context, in io.Reader) error {
	fmt.Fprintf(t.out, dryRunRow, "LINE", "PROFILE", "TASK", "CHECK", "RESULT", "EFFECT", "DECISION")
	// The buffer has room for one byte more than a record may have, so that a
	// longer line is refused as its record would be, without being kept.
	lines := bufio.NewReaderSize(in, decision.MaxRecordSize+2)
	for ctx.Err() == nil {
		line, err := lines.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			line = bytes.Clone(line) // enough to be refused as too large
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = lines.ReadSlice('\n')
			}
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if len(line) > 0 {
			t.lines++
			t.line(bytes.TrimRight(line, "\r\n"))
		}
		if err != nil {
			break
		}
	}
	t.sum()
	return ctx.Err()
}

// line prints the rows of one line. It ignores an empty line.
func (t *dryRunTable) line(value []byte) {
	if len(bytes.TrimSpace(value)) == 0 {
		return
	}
	c, ok, err := policy.Decode(&decision.Record{Value: value})
	if err != nil {
		t.row("", "", "", "", "unreadable", decision.OneLine(err.Error(), decision.MaxErrorSize))
		return
	}
	if !ok {
		t.row("", "", "", "", "other_event", "")
		return
	}
	for i := range c.Tasks {
		task := &c.Tasks[i]
		name := task.TaskID
		switch {
		case name != "":
		case task.Alias != "":
			name = "alias " + task.Alias
		default:
			name = "type " + task.Type
		}
		effect, d := t.counts.Apply(&c, task, time.Now())
		decided := ""
		if d != nil {
			t.states[d.State]++
			decided = string(d.State) + ", " + d.Reason()
		}
		t.row(task.ProfileID, name, c.ID, string(c.Result), string(effect), decided)
	}
}

func (t *dryRunTable) row(profile, task, check, result, effect, decided string) {
	t.effects[effect]++
	fmt.Fprintf(t.out, dryRunRow, fmt.Sprint(t.lines), orDash(profile), orDash(task), orDash(check), orDash(result), effect, orDash(decided))
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// sum prints the last line, which scripts read.
func (t *dryRunTable) sum() {
	fmt.Fprintf(t.out, "\nlines=%d passed=%d failed=%d", t.lines, t.states[decision.CompletedPass], t.states[decision.CompletedFail])
	for _, e := range decision.CheckEffects {
		fmt.Fprintf(t.out, " %s=%d", e, t.effects[string(e)])
	}
	fmt.Fprintf(t.out, " other_event=%d unreadable=%d\n", t.effects["other_event"], t.effects["unreadable"])
}
