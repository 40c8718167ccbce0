package rows_test

import (
	"errors"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"verdict/internal/bulk/rows"
)

func TestReaderReturnsWholeLinesOfACutFile(t *testing.T) {
	file := "id,state\n" + strings.Repeat("1,COMPLETED_PASS\n", 3)
	cut := errors.New("cut")
	reader, err := rows.NewReader(io.MultiReader(strings.NewReader(file[:len(file)-3]), iotest.ErrReader(cut)), rows.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	got, err := rest(reader)
	if len(got) != 2 || !errors.Is(err, cut) || err.Error() != "read line 4: cut" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, again := reader.Next(); again != err {
		t.Errorf("the next call: %v", again)
	}
}

func TestReaderSkipsOnlyTheLineThatIsTooLong(t *testing.T) {
	long := strings.Repeat("x", rows.MaxLine)
	fits := long[:rows.MaxLine-len("2,\n")]
	for name, tc := range map[string]struct {
		file  string
		lines []int // nil: not compared
		fault []int // nil: all
	}{
		"CSV": {
			"id,state\n" + "2," + fits + "\n3,x" + fits + "\n4,y\n" + long + long + "\n6,z\n7," + long,
			[]int{2, 3, 4, 5, 6, 7},
			[]int{3, 5, 7},
		},
		"JSON Lines": {
			"{}\n" + long + "\n{}\n" + long + long,
			[]int{1, 2, 3, 4},
			[]int{2, 4},
		},
		"a quoted cell over many lines": {
			"id,state\n2,\"" + strings.Repeat("x\n", rows.MaxLine/2) + "\"\n",
			nil, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := checkLongLines(t, tc.file, tc.fault)
			if tc.lines != nil && !reflect.DeepEqual(got, tc.lines) {
				t.Errorf("lines %v; want %v", got, tc.lines)
			}
			if tc.lines == nil && len(got) != rows.MaxLine/2+1 {
				t.Errorf("%d rows", len(got))
			}
		})
	}
}

// checkLongLines reads a file, checks that the rows on these lines have a fault and no
// value (nil: that all have a fault), and returns the lines of the rows.
func checkLongLines(t *testing.T, file string, faults []int) (lines []int) {
	t.Helper()
	reader, err := rows.NewReader(strings.NewReader(file), rows.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	for {
		row, err := reader.Next()
		if err == io.EOF {
			return lines
		}
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, row.Line)
		if len(row.Raw) > rows.MaxLine {
			t.Errorf("line %d: %d bytes", row.Line, len(row.Raw))
		}
		if faults == nil {
			if row.Fault == "" {
				t.Errorf("line %d has no fault", row.Line)
			}
			continue
		}
		faulty := slices.Contains(faults, row.Line)
		if faulty != (row.Fault == "the line is longer than 1048576 bytes") || faulty && row.Value != nil {
			t.Errorf("line %d: fault %q, value of %d bytes", row.Line, row.Fault, len(row.Value))
		}
	}
}
