package rows

import (
	"encoding/xml"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// readDateStyles returns, for each style of a workbook's cells, whether it shows a
// number as a date or a time.
func readDateStyles(r io.Reader) ([]bool, error) {
	part := newXMLPart("the styles", r, maxPart)
	custom := make(map[int]bool)
	var dates []bool
	inCells := false
	for {
		token, err := part.next()
		if err == io.EOF {
			return dates, nil
		}
		if err != nil {
			return nil, err
		}
		switch t := token.(type) {
		case xml.StartElement:
			switch t.Name.Local {
			case "numFmt":
				if id, err := strconv.Atoi(attribute(&t, "numFmtId")); err == nil {
					custom[id] = isDateFormat(attribute(&t, "formatCode"))
				}
			case "cellXfs":
				inCells = true
			case "xf":
				if !inCells {
					continue
				}
				id, err := strconv.Atoi(attribute(&t, "numFmtId"))
				date, known := custom[id]
				dates = append(dates, err == nil && (date || !known && isBuiltInDate(id)))
			}
		case xml.EndElement:
			if t.Name.Local == "cellXfs" {
				inCells = false
			}
		}
	}
}

// isBuiltInDate reports whether one of Excel's own formats, which a workbook does not
// define, is a date or time.
func isBuiltInDate(id int) bool {
	return id >= 14 && id <= 22 || id >= 27 && id <= 36 || id >= 45 && id <= 47 || id >= 50 && id <= 58
}

// isDateFormat reports whether a format has a day, month, year, hour or second outside
// of quoted text.
func isDateFormat(code string) bool {
	quoted, bracket := false, false
	for i := 0; i < len(code); i++ {
		switch c := code[i]; {
		case quoted:
			quoted = c != '"'
		case c == '"':
			quoted = true
		case c == '\\' || c == '_' || c == '*':
			i++
		case bracket:
			bracket = c != ']'
		case c == '[':
			// [h]:mm is a time; [Red] and [$-409] are not.
			bracket = !strings.HasPrefix(strings.ToLower(code[i:]), "[h") && !strings.HasPrefix(strings.ToLower(code[i:]), "[m]")
		case c == ';':
			return false // of the first part alone, which is for numbers above zero
		case strings.IndexByte("dmyhsDMYHS", c) >= 0:
			return true
		}
	}
	return false
}

// dateText returns a number that is shown as a date as people would write it. A
// workbook knows no time zone, so such a date is never a complete time.
func dateText(number string, from1904 bool) string {
	days, err := strconv.ParseFloat(number, 64)
	if err != nil || !(days >= 0 && days < 2958466) { // the year 10000
		return number
	}
	start := time.Date(1899, 12, 30, 0, 0, 0, 0, time.UTC)
	if from1904 {
		start = time.Date(1904, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	whole, part := math.Modf(days)
	at := start.AddDate(0, 0, int(whole)).Add(time.Duration(math.Round(part*86400)) * time.Second)
	switch {
	case whole == 0 && part > 0:
		return at.Format("15:04:05")
	case part == 0:
		return at.Format("2006-01-02")
	}
	return at.Format("2006-01-02 15:04:05")
}
