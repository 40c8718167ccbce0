package rows

import (
	"archive/zip"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
)

// maxPart bounds the parts of a workbook that are read as a whole, in bytes.
const maxPart = 8 << 20

// sheetRef is a sheet of a workbook.
type sheetRef struct {
	name, id string
	hidden   bool
}

// relation of a part of a workbook to another: its kind, by the last word of its type,
// and its path.
type partRelation struct{ id, kind, target string }

// openWorkbook opens a sheet of a workbook and reads its header.
func (r *Reader) openWorkbook(a *archive, o *Options) error {
	if fault := otherDocument(a); fault != "" {
		return errors.New(fault)
	}
	if o.Encoding != DetectEncoding {
		return fmt.Errorf("--encoding %s: the file is a workbook, which says its encoding itself; leave out --encoding", o.Encoding)
	}
	r.format = workbook
	root, err := a.relations("", "_rels/.rels")
	if err != nil {
		return err
	}
	main := "xl/workbook.xml"
	if i := slices.IndexFunc(root, func(p partRelation) bool { return p.kind == "officeDocument" }); i >= 0 {
		main = root[i].target
	}
	parts, err := a.relations(path.Dir(main), path.Join(path.Dir(main), "_rels", path.Base(main)+".rels"))
	if err != nil {
		return err
	}
	sheets, from1904, err := a.sheets(main)
	if err != nil {
		return err
	}
	sheets = slices.DeleteFunc(sheets, func(s sheetRef) bool {
		return !slices.ContainsFunc(parts, func(p partRelation) bool { return p.id == s.id && p.kind == "worksheet" })
	})
	chosen, err := r.chooseSheet(sheets, o.Sheet)
	if err != nil {
		return err
	}
	s := &sheet{content: o.Content, from1904: from1904}
	r.sheet, r.close = s, s.close
	for _, p := range parts {
		switch {
		case p.kind == "sharedStrings":
			err = a.read(p.target, func(f io.Reader) (err error) { s.strings, err = readSharedStrings(f, o.TempDir); return err })
		case p.kind == "styles":
			err = a.read(p.target, func(f io.Reader) (err error) { s.dates, err = readDateStyles(f); return err })
		case p.kind == "worksheet" && p.id == chosen.id:
			var part *zip.File
			if part = a.find(p.target); part == nil {
				return fmt.Errorf("the workbook is damaged: it has no %s", quote(p.target))
			}
			var f io.ReadCloser
			if f, err = openMember(part); err == nil {
				s.part, s.file = newXMLPart(quote(chosen.name), f, maxSheetRow), f
			}
		}
		if err != nil {
			return err
		}
	}
	return r.readSheetHeader(o)
}

// otherDocument says what to do with a document that is no workbook of Excel's newer
// format; empty for one that is.
func otherDocument(a *archive) string {
	switch {
	case a.find("xl/workbook.bin") != nil:
		return "the file is a binary Excel workbook (.xlsb); " + asText
	case a.find("mimetype") != nil:
		return "the file is an OpenDocument file (.ods); " + asText
	case a.find("Index/Document.iwa") != nil:
		return "the file is an Apple Numbers file; export it as .xlsx or as CSV"
	case a.find("word/document.xml") != nil:
		return "the file is a Word document; copy its table into a spreadsheet and save it as .xlsx or as CSV"
	case a.find("EncryptedPackage") != nil:
		return "the workbook is protected by a password; open it with the password and save a copy without one"
	}
	return ""
}

// chooseSheet returns the sheet of a name; without a name the first that is not hidden,
// with a warning if there are others.
func (r *Reader) chooseSheet(sheets []sheetRef, name string) (sheetRef, error) {
	var visible []string
	var all []string
	for _, s := range sheets {
		all = append(all, quote(s.name))
		if !s.hidden {
			visible = append(visible, quote(s.name))
		}
	}
	if name != "" {
		for _, same := range []func(a, b string) bool{func(a, b string) bool { return a == b }, strings.EqualFold} {
			if i := slices.IndexFunc(sheets, func(s sheetRef) bool { return same(s.name, name) }); i >= 0 {
				return sheets[i], nil
			}
		}
		return sheetRef{}, fmt.Errorf("--sheet %s: the workbook has no such sheet; its sheets are %s", quote(name), list(all))
	}
	i := slices.IndexFunc(sheets, func(s sheetRef) bool { return !s.hidden })
	if i < 0 {
		return sheetRef{}, errors.New("the workbook has no sheet that can be seen; --sheet NAME reads a hidden one")
	}
	if len(visible) > 1 {
		r.warnings = append(r.warnings, fmt.Sprintf("read the first sheet, %s, of %d; for another one: --sheet NAME, of %s", quote(sheets[i].name), len(visible), list(visible)))
	}
	return sheets[i], nil
}

// read reads a part that may be missing.
func (a *archive) read(name string, read func(io.Reader) error) error {
	f := a.find(name)
	if f == nil {
		return nil
	}
	r, err := openMember(f)
	if err != nil {
		return err
	}
	defer r.Close()
	return read(r)
}

// elements calls each with the start of every element of a part.
func (a *archive) elements(name string, each func(*xml.StartElement)) error {
	return a.read(name, func(f io.Reader) error {
		part := newXMLPart(name, f, maxPart)
		for {
			token, err := part.next()
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			if start, ok := token.(xml.StartElement); ok {
				each(&start)
			}
		}
	})
}

// relations returns the relations of the part that is in a folder.
func (a *archive) relations(folder, name string) (all []partRelation, err error) {
	err = a.elements(name, func(e *xml.StartElement) {
		target := attribute(e, "Target")
		if e.Name.Local != "Relationship" || attribute(e, "TargetMode") == "External" {
			return
		}
		if !strings.HasPrefix(target, "/") {
			target = path.Join(folder, target)
		}
		all = append(all, partRelation{attribute(e, "Id"), path.Base(attribute(e, "Type")), target})
	})
	return all, err
}

// sheets returns the sheets in the order of their tabs, and whether days are counted
// from 1904.
func (a *archive) sheets(name string) (all []sheetRef, from1904 bool, err error) {
	err = a.elements(name, func(e *xml.StartElement) {
		switch e.Name.Local {
		case "workbookPr":
			from1904 = attribute(e, "date1904") == "1" || attribute(e, "date1904") == "true"
		case "sheet":
			s := sheetRef{name: attribute(e, "name"), hidden: strings.HasSuffix(strings.ToLower(attribute(e, "state")), "hidden")}
			for _, at := range e.Attr { // r:id, beside sheetId
				if at.Name.Local == "id" {
					s.id = at.Value
				}
			}
			all = append(all, s)
		}
	})
	return all, from1904, err
}
