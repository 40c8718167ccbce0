package codec

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"text/scanner"

	"google.golang.org/protobuf/types/descriptorpb"
)

// Bounds of a schema. The compilers build the full name of everything that is declared,
// and look for every name in all scopes around it: a small schema that nests deeply, or a
// long name around many others, would take gigabytes.
const (
	maxSchemaText = 512 << 10 // bytes of a schema and all that it refers to
	maxScope      = 256       // bytes of the names around a Protobuf declaration, except its package
	maxAvroName   = 512       // bytes of an Avro name or namespace; as many as a Protobuf package may have
)

// checkProto returns an error if blocks in a .proto file nest too deeply. Each counts the
// word before it, which is its name.
func checkProto(file, text string) error {
	s := scanner.Scanner{
		Mode:  scanner.ScanIdents | scanner.ScanChars | scanner.ScanStrings | scanner.ScanComments | scanner.SkipComments,
		Error: func(*scanner.Scanner, string) {}, // the compiler reports it
	}
	s.Init(strings.NewReader(text))
	s.Filename = file
	var around []int // bytes of the names up to each block
	scope, word := 0, 0
	for {
		switch s.Scan() {
		case scanner.EOF:
			return nil
		case scanner.Ident:
			word = len(s.TokenText())
		case '{', '<':
			around = append(around, scope)
			if scope += word + 1; scope > maxScope {
				return fmt.Errorf("%s: blocks nest deeper than %d bytes of names", s.Position, maxScope)
			}
		case '}', '>':
			if last := len(around) - 1; last >= 0 {
				scope, around = around[last], around[:last]
			}
		}
	}
}

// checkMessages is checkProto for the messages of a descriptor. It also gives each field a
// JSON name, which serializers leave out and the compiler needs.
func checkMessages(scope int, messages []*descriptorpb.DescriptorProto) error {
	for _, m := range messages {
		inner := scope + len(m.GetName()) + 1
		if inner > maxScope {
			return fmt.Errorf("messages nest deeper than %d bytes of names", maxScope)
		}
		for _, f := range m.GetField() {
			f.JsonName = new(cmp.Or(f.GetJsonName(), f.GetName()))
		}
		if err := checkMessages(inner, m.GetNestedType()); err != nil {
			return err
		}
	}
	return nil
}

// checkAvro returns an error if a name in an Avro schema is too long.
func checkAvro(text string) error {
	tokens := json.NewDecoder(strings.NewReader(text))
	key := ""
	for {
		token, err := tokens.Token()
		if err != nil {
			return nil // the end, or a fault that the parser reports
		}
		value, _ := token.(string)
		if (key == "name" || key == "namespace") && len(value) > maxAvroName {
			return fmt.Errorf("a %s has more than %d bytes", key, maxAvroName)
		}
		key = value
	}
}
