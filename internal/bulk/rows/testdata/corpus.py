#!/usr/bin/env python3
"""Makes the files of corpus/ with the programs that people have, and beside each
file NAME what is to be read from it, NAME.want.json.

    pip install pandas openpyxl xlsxwriter xlwt msoffcrypto-tool zstandard
    apt-get install libreoffice-calc postgresql sqlite3 jq zstd
    ./corpus.py        # PostgreSQL's server does not run as root: then as another user

What is wanted is worked out here, from the same rows that the programs were given,
and never by Verdict. In NAME.want.json:

    options    map, values, set, encoding, sheet, override
    rows       [line, fields] of every row to send, in order; "…" stands for a value
               that the program made
    refused    [line, text that its finding contains]
    blank      rows whose cells are all empty
    warnings, hints, error    texts that they contain; each warning and hint needs one
"""
import csv, datetime, io, json, os, pathlib, shutil, sqlite3, subprocess, sys, tempfile, zipfile

OUT = pathlib.Path(__file__).resolve().parent / 'corpus'
TMP = pathlib.Path(tempfile.mkdtemp())

def pid(n): return f'{n:08x}-aaaa-4bbb-8ccc-{n:012x}'
def tid(n): return f'{n:08x}-dddd-4eee-8fff-{n:012x}'

PASS, FAIL = 'COMPLETED_PASS', 'COMPLETED_FAIL'
HEADER = ['profile_id', 'task_id', 'state', 'reason']
PLAIN = [
    [pid(1), tid(1), PASS, 'document and liveness agree'],
    [pid(2), tid(2), FAIL, 'match confirmed, "second pair of eyes"; appeal refused'],
    [pid(3), tid(3), PASS, 'no match | on any list'],
]
LATIN = [[pid(1), tid(1), PASS, 'Zoë Müller: façade, 5 €'], [pid(2), tid(2), FAIL, 'Łukasz – 李小龍 – 😀']]
WESTERN = [[pid(1), tid(1), PASS, 'Zoë Müller: façade, 5 €'], [pid(2), tid(2), FAIL, 'plain']]
LINES = [[pid(1), tid(1), PASS, 'first line\nsecond line'], [pid(2), tid(2), FAIL, 'plain']]
PEOPLE = ['Profile ID', 'Task-ID', 'Name', 'Outcome', 'Reason']
REVIEW = [
    ['{' + pid(1).upper() + '}', tid(1), 'Jane Doe', 'Pass', 'ok'],
    [' ' + pid(2) + '\u00a0', tid(2), 'John Roe', 'rejected', ''],
    [pid(3), '\u200b' + tid(3), 'Max', 'APPROVED', 'fine'],
]
MAPPED = {'map': {'Outcome': 'state'}, 'values': {'Pass': PASS, 'Approved': PASS, 'Rejected': FAIL}}
REVIEWED = [
    {'profile_id': pid(1).upper(), 'task_id': tid(1), 'state': PASS, 'reason': 'ok'},
    {'profile_id': pid(2), 'task_id': tid(2), 'state': FAIL},
    {'profile_id': pid(3), 'task_id': tid(3), 'state': PASS, 'reason': 'fine'},
]
IGNORED_NAME = 'ignored columns that are not fields of a decision: "Name"'

def objects(rows, header=HEADER):
    return [{k: v for k, v in zip(header, r) if v not in ('', None)} for r in rows]

def lines(objs, first=2, step=1): return [[first + i * step, o] for i, o in enumerate(objs)]

made = set()
def want(name, rows=(), **more):
    made.add(name)
    (OUT / (name + '.want.json')).write_text(json.dumps({'rows': list(rows), **more}, ensure_ascii=False, indent=1) + '\n')

def put(name, data, rows=(), **more):
    (OUT / name).write_bytes(data.encode() if isinstance(data, str) else data)
    want(name, rows, **more)

def table(rows, header=HEADER, **dialect):
    f = io.StringIO(newline='')
    csv.writer(f, **dialect).writerows([header] + rows)
    return f.getvalue()

def run(*args, stdin=None, cwd=None, env=None):
    done = subprocess.run([str(a) for a in args], input=stdin, capture_output=True, cwd=cwd, env=env)
    if done.returncode:
        sys.exit(f'{args}: {done.stderr.decode()}')
    return done.stdout

def python_csv():
    plain = lines(objects(PLAIN))
    put('python-excel.csv', table(PLAIN), plain)
    put('python-unix.csv', table(PLAIN, dialect='unix'), plain)
    put('python-tab.tsv', table(PLAIN, dialect='excel-tab'), plain)
    put('python-semicolon.csv', table(PLAIN, delimiter=';'), plain)
    put('python-pipe.csv', table(PLAIN, delimiter='|'), plain)
    put('python-no-last-line-end.csv', table(PLAIN).rstrip('\r\n'), plain)
    put('python-bom.csv', table(LATIN).encode('utf-8-sig'), lines(objects(LATIN)))
    put('python-utf16.csv', table(LATIN).encode('utf-16'), lines(objects(LATIN)))
    put('python-utf16be.csv', ('\ufeff' + table(LATIN, dialect='excel-tab')).encode('utf-16-be'), lines(objects(LATIN)))
    put('python-utf16-no-mark.csv', table(LATIN).encode('utf-16-le'), error='add --encoding utf-16le')
    put('python-utf16-named.csv', table(LATIN).encode('utf-16-be'), lines(objects(LATIN)), options={'encoding': 'utf-16be'})
    put('python-utf32.csv', table(LATIN).encode('utf-32'), error='UTF-32 text; save it as UTF-8')
    put('python-windows1252.csv', table(WESTERN).encode('cp1252'), lines(objects(WESTERN)), options={'encoding': 'windows-1252'})
    put('python-windows1252-guess.csv', table(WESTERN).encode('cp1252'), lines(objects(WESTERN))[1:],
        refused=[[2, 'the byte EB is not UTF-8; if the word is "Zoë", the file is Windows-1252: add --encoding windows-1252']])
    put('python-wrong-encoding.csv', table(LATIN).encode('utf-8-sig'), options={'encoding': 'windows-1252'}, error='byte order mark of utf-8, so it is not windows-1252')
    put('python-cr.csv', table(LINES, lineterminator='\r', quoting=csv.QUOTE_ALL), [[2, objects(LINES)[0]], [4, objects(LINES)[1]]])
    put('python-quoted-lines.csv', table(LINES), [[2, objects(LINES)[0]], [4, objects(LINES)[1]]])
    put('python-blank-rows.csv', 'profile_id,task_id,state,reason\n\n' + ',,,\n' + f'{pid(1)},{tid(1)},{PASS},x\n\n,, ,\n\n', [[4, objects([[pid(1), tid(1), PASS, 'x']])[0]]],
        blank=2, warnings=['passed over rows whose cells are all empty: 2'])
    put('python-trailing-commas.csv', f'profile_id,task_id,state,,\n{pid(1)},{tid(1)},{PASS},,\n{pid(2)},{tid(2)},{FAIL},,,,\n', lines(objects([r[:3] for r in PLAIN[:2]])))
    put('python-short-rows.csv', f'profile_id,task_id,state,note\n{pid(1)},{tid(1)},{PASS}\n{pid(2)},{tid(2)}\n', lines(objects([PLAIN[0][:3]])), warnings=['"note"'],
        refused=[[3, 'the row has 2 cells, but the header has 4']])
    put('python-people.csv', table(REVIEW, PEOPLE), lines(REVIEWED), options=MAPPED, warnings=[IGNORED_NAME])
    put('python-people-proposed.csv', table(REVIEW, PEOPLE), options={'map': {'Outcome': 'state'}}, warnings=[IGNORED_NAME],
        refused=[[2, 'is "Pass" (column D, "Outcome")'], [3, 'is "rejected" (column D, "Outcome")'], [4, 'is "APPROVED" (column D, "Outcome")']],
        hints=['add --values Pass=COMPLETED_PASS,rejected=COMPLETED_FAIL,APPROVED=COMPLETED_PASS'])
    put('python-people-unmapped.csv', table(REVIEW, PEOPLE), warnings=['"Name", "Outcome"'], refused=[[2, 'state: missing'], [3, 'state: missing'], [4, 'state: missing']],
        hints=['no column is the state; if one of "Name", "Outcome" is, add --map Outcome=state'])
    put('python-set-over-values.csv', table(REVIEW, PEOPLE), options={'map': {'Outcome': 'state'}, 'set': {'state': PASS}},
        error='--set state=COMPLETED_PASS would replace 3 values of state (column D, "Outcome"), the first in line 2: "Pass" (1), "rejected" (1), "APPROVED" (1)')
    put('python-set-override.csv', table(PLAIN), lines([{**o, 'state': PASS} for o in objects(PLAIN)]), options={'set': {'state': PASS}, 'override': True},
        warnings=['--set state=COMPLETED_PASS replaced 1 values of state (column C): "COMPLETED_FAIL" (1)'])
    put('python-set-same.csv', table(PLAIN[:1]), lines(objects(PLAIN[:1])), options={'set': {'state': PASS}})
    put('python-never-guessed.csv', table([[pid(1), tid(1), '1', ''], [pid(2), tid(2), 'TRUE', ''], [pid(3), tid(3), '', '']]),
        refused=[[2, 'state: must be COMPLETED_PASS or COMPLETED_FAIL, is "1"'], [3, 'is "TRUE"'], [4, 'state: missing']],
        hints=['what "1", "TRUE" means is not guessed: say it, as in --values 1=COMPLETED_PASS'])
    put('python-is-complete.csv', table([[pid(1), tid(1), 'true'], [pid(2), tid(2), 'TRUE'], [pid(3), tid(3), 'yes']], ['profileId', 'taskId', 'isComplete']),
        lines([{'profile_id': pid(1), 'task_id': tid(1), 'is_complete': True}]), refused=[[3, 'is_complete: must be true or false, is "TRUE"'], [4, '"yes"']],
        hints=['to say what a text means, add --map isComplete=state --values TRUE=COMPLETED_PASS'])
    put('python-ambiguous.csv', table([[pid(1), pid(9), tid(1), PASS]], ['profile_id', 'Profile ID', 'task', 'state']),
        error='"profile_id" (column A) and "Profile ID" (column B) both look like profile_id; say which one it is: --map profile_id=profile_id or --map \'Profile ID=profile_id\'')
    put('python-ambiguous-chosen.csv', table([[pid(9), pid(1), tid(1), PASS]], ['profile_id', 'Profile ID', 'TASK_ID', 'state']),
        lines([{'profile_id': pid(1), 'task_id': tid(1), 'state': PASS}]), options={'map': {'Profile ID': 'profile_id'}}, warnings=['"profile_id"'])
    put('python-left-out-column.csv', table([[pid(1), tid(1), PASS, 'secret']]), lines([{'profile_id': pid(1), 'task_id': tid(1), 'state': PASS}]),
        options={'map': {'reason': ''}}, warnings=['"reason"'])
    put('python-two-columns-of-one-name.csv', table([[pid(1), tid(1), tid(2), PASS]], ['profile_id', 'task_id', 'task_id', 'state']), error='columns B and C are both called "task_id"')
    put('python-no-header.csv', table(PLAIN[1:], PLAIN[0]), error='it has IDs, so the file has no header; add a first line that names the columns, such as profile_id,task_id,state')
    put('python-foreign-header.csv', table(REVIEW, ['Customer', 'Check', 'Name', 'Outcome', 'Note']),
        error='such as --map Customer=profile_id --map Check=task_id --map Outcome=state')
    put('python-header-below-rows.csv', f'{pid(9)},{tid(9)},{PASS},\n' + table(PLAIN), error='line 1 has IDs, but the header is below it, in line 2')
    put('python-titles.csv', 'Quarterly review,,,\n"as of 31 March, 18:00",,,\n,,,\n' + table(PLAIN), lines(objects(PLAIN), 5),
        warnings=['the header is in line 4; passed over what is above it: "Quarterly review", "as of 31 March, 18:00"'])
    put('python-total.csv', table(PLAIN + [['', '', '', ''], ['', '', '', '']], HEADER).replace('\r\n,,,\r\n,,,\r\n', '\r\n,,,\r\n') + 'Total,,,3 decisions\r\n', lines(objects(PLAIN)), blank=1,
        warnings=['passed over rows'], refused=[[6, 'profile_id: must be 8-4-4-4-12 hexadecimal, is "Total"']])
    put('python-total-elsewhere.csv', table([[*PLAIN[0][:3], '1'], ['', '', '', 'Total: 1']], ['profile_id', 'task_id', 'state', 'count']), lines(objects([PLAIN[0][:3]])), warnings=['"count"'],
        refused=[[3, 'no column that holds a field has a value, and column D has "Total: 1"; is it a total or a note?']])
    put('python-bracket-title.csv', '[Confidential],,,\n' + table(PLAIN), lines(objects(PLAIN), 3), warnings=['"[Confidential]"'])
    put('python-braces-no-header.csv', '{' + pid(1) + '},{' + tid(1) + '},' + PASS + '\n', error='it has IDs, so the file has no header')
    put('python-utf8-not-windows1252.csv', table(LATIN), options={'encoding': 'windows-1252'}, error='the file is UTF-8 text, and letters such as é would be garbled')
    put('python-empty.csv', '')
    put('python-only-header.csv', table([]), unsent=True)
    put('python-only-titles.csv', 'Review\nMarch\n', error='no column is a field of a decision')

def excel_forms():
    """The forms that Excel documents for "Save as"."""
    plain = lines(objects(PLAIN))
    put('excel-csv-utf8.csv', table(LATIN).encode('utf-8-sig'), lines(objects(LATIN)))
    put('excel-csv-german.csv', table(WESTERN, delimiter=';').encode('cp1252'), lines(objects(WESTERN)), options={'encoding': 'windows-1252'})
    put('excel-unicode-text.txt', table(LATIN, dialect='excel-tab').encode('utf-16'), lines(objects(LATIN)))
    put('excel-unicode-text-lines.txt', table(LINES, dialect='excel-tab').encode('utf-16'), [[2, objects(LINES)[0]], [4, objects(LINES)[1]]])
    put('excel-macintosh.csv', table(PLAIN, lineterminator='\r'), plain)
    put('excel-sep-semicolon.csv', 'sep=;\r\n' + table(PLAIN, delimiter=';'), lines(objects(PLAIN), 3))
    put('excel-sep-tab.csv', 'sep=\t\r\n' + table(PLAIN, dialect='excel-tab'), lines(objects(PLAIN), 3))
    put('excel-sep-caret.csv', '"sep=^"\r\n' + table(PLAIN, delimiter='^'), lines(objects(PLAIN), 3))
    put('excel-lf-in-cells.csv', table(LINES).replace('first line\r\n', 'first line\n'), [[2, objects(LINES)[0]], [4, objects(LINES)[1]]])
    put('excel-true.csv', table([[pid(1), tid(1), 'TRUE']], ['profile_id', 'task_id', 'is_complete']), refused=[[2, 'must be true or false, is "TRUE"']], hints=['--map is_complete=state --values TRUE=COMPLETED_PASS'])
    put('sheets-csv.csv', table(LATIN), lines(objects(LATIN)))
    put('sheets-tsv.tsv', '\r\n'.join('\t'.join(r) for r in [HEADER] + LATIN), lines(objects(LATIN)))

def pandas_files():
    import pandas as pd
    df = pd.DataFrame(PLAIN, columns=HEADER)
    p = lambda name: OUT / name
    df.to_csv(p('pandas-index.csv')); want('pandas-index.csv', lines(objects(PLAIN)))
    df.to_csv(p('pandas.csv'), index=False); want('pandas.csv', lines(objects(PLAIN)))
    df.to_csv(p('pandas-utf16.csv'), index=False, encoding='utf-16', sep=';'); want('pandas-utf16.csv', lines(objects(PLAIN)))
    for ext in ('gz', 'zst', 'zip'):
        df.to_csv(p(f'pandas.csv.{ext}'), index=False); want(f'pandas.csv.{ext}', lines(objects(PLAIN)))
    for ext in ('bz2', 'xz'):
        df.to_csv(p(f'pandas.csv.{ext}'), index=False); want(f'pandas.csv.{ext}', error='unpack it first')
    missing = pd.DataFrame([[*PLAIN[0][:3], None], PLAIN[1]], columns=HEADER)
    missing.to_csv(p('pandas-nan.csv'), index=False); want('pandas-nan.csv', lines(objects([[*PLAIN[0][:3], ''], PLAIN[1]])))
    df.to_json(p('pandas-records.json'), orient='records'); want('pandas-records.json', lines(objects(PLAIN), 1))
    df.to_json(p('pandas-records-indented.json'), orient='records', indent=2); want('pandas-records-indented.json', lines(objects(PLAIN), 1))
    df.to_json(p('pandas-lines.jsonl'), orient='records', lines=True); want('pandas-lines.jsonl', lines(objects(PLAIN), 1))
    missing.to_json(p('pandas-null.json'), orient='records'); want('pandas-null.json', [[1, {**objects(PLAIN)[0], 'reason': None}], [2, objects(PLAIN)[1]]])
    df.to_excel(p('pandas.xlsx'), index=False); want('pandas.xlsx', lines(objects(PLAIN)))
    df.to_excel(p('pandas-startrow.xlsx'), index=False, startrow=3, startcol=1); want('pandas-startrow.xlsx', lines(objects(PLAIN), 5))
    with pd.ExcelWriter(p('pandas-sheets.xlsx')) as w:
        pd.DataFrame([['nothing']], columns=['About']).to_excel(w, sheet_name='About', index=False)
        df.to_excel(w, sheet_name='March 2026', index=False)
    want('pandas-sheets.xlsx', lines(objects(PLAIN)), options={'sheet': 'march 2026'})
    shutil.copy(p('pandas-sheets.xlsx'), p('pandas-first-sheet.xlsx'))
    want('pandas-first-sheet.xlsx', error='no column is a field of a decision')
    shutil.copy(p('pandas-sheets.xlsx'), p('pandas-no-such-sheet.xlsx'))
    want('pandas-no-such-sheet.xlsx', options={'sheet': 'April'}, error='--sheet "April": the workbook has no such sheet; its sheets are "About", "March 2026"')
    put('pandas-table.xls', df.to_html(index=False), error='web page (HTML), which some programs export as .xls; open it in a spreadsheet program and save it as .xlsx or as CSV')
    put('pandas-markup.xml', '<?xml version="1.0"?>\n<data><row/></data>\n', error='the file is XML')

def workbooks():
    import openpyxl, xlsxwriter, xlwt, msoffcrypto
    from openpyxl.cell.rich_text import CellRichText, TextBlock
    from openpyxl.cell.text import InlineFont
    from openpyxl.styles import PatternFill

    wb = openpyxl.Workbook(); ws = wb.active
    for r in [HEADER] + LATIN + LINES: ws.append(r)
    wb.save(OUT / 'openpyxl.xlsx'); want('openpyxl.xlsx', lines(objects(LATIN + LINES)), duplicates=2)

    wb = openpyxl.Workbook(write_only=True); ws = wb.create_sheet('Rows')
    for r in [HEADER] + PLAIN: ws.append(r)
    wb.save(OUT / 'openpyxl-write-only.xlsx'); want('openpyxl-write-only.xlsx', lines(objects(PLAIN)))

    wb = openpyxl.Workbook(); ws = wb.active; ws.title = 'Review'
    ws['B1'] = 'Quarterly review'; ws.merge_cells('B1:E1'); ws['B2'] = datetime.date(2026, 3, 31)
    for i, r in enumerate([PEOPLE] + REVIEW):
        for j, v in enumerate(r): ws.cell(4 + i, 2 + j, v or None)
    for r in (8, 9): ws.cell(r, 2).fill = PatternFill('solid', fgColor='ffff00')
    ws['D11'] = 'Total'; ws['E11'] = '=COUNTA(E5:E7)'
    wb.create_sheet('Notes')
    wb.save(OUT / 'openpyxl-review.xlsx')
    want('openpyxl-review.xlsx', lines(REVIEWED, 5), options=MAPPED,
         warnings=['the header is in row 4; passed over what is above it: "Quarterly review", "2026-03-31"', IGNORED_NAME, 'read the first sheet, "Review", of 2'],
         refused=[[11, 'cell E11: it has a formula, but not its result; open the workbook in a spreadsheet program, save it there']])

    shutil.copy(OUT / 'openpyxl-review.xlsx', OUT / 'openpyxl-review-proposed.xlsx')
    want('openpyxl-review-proposed.xlsx', options={'map': {'outcome': 'state'}}, warnings=['row 4', IGNORED_NAME, 'read the first sheet'],
         refused=[[5, 'is "Pass" (cell E5, "Outcome")'], [6, '(cell E6, "Outcome")'], [7, '(cell E7, "Outcome")'], [11, 'formula']],
         hints=['add --values Pass=COMPLETED_PASS,rejected=COMPLETED_FAIL,APPROVED=COMPLETED_PASS'])

    wb = openpyxl.Workbook(); ws = wb.active
    ws.append(['id', 'profile_id', 'task_id', 'state', 'decided_at', 'expires_at'])
    ws.append([1741, pid(1), tid(1), PASS, '2026-11-01T06:00:29Z', None])
    ws.append([123456789012345, pid(2), tid(2), FAIL, datetime.datetime(2026, 11, 1, 6, 0, 29), None])
    ws.append([3.5, pid(3), tid(3), True, None, datetime.date(2026, 12, 31)])
    wb.save(OUT / 'openpyxl-types.xlsx')
    want('openpyxl-types.xlsx', [[2, {'id': '1741', 'profile_id': pid(1), 'task_id': tid(1), 'state': PASS, 'decided_at': '2026-11-01T06:00:29Z'}]],
         refused=[[3, 'decided_at: must be an RFC 3339 time such as 2026-11-01T06:00:29Z, is "2026-11-01 06:00:29" (cell E3)'], [4, 'is "TRUE" (cell D4); expires_at: must be an RFC 3339 time such as 2026-11-01T06:00:29Z, is "2026-12-31" (cell F4)']],
         hints=['what "TRUE" means is not guessed'])

    wb = openpyxl.Workbook(); ws = wb.active
    ws.append(HEADER)
    ws.append([CellRichText(TextBlock(InlineFont(b=True), pid(1)[:8]), pid(1)[8:]), tid(1), PASS, CellRichText('plain ', TextBlock(InlineFont(i=True), 'and italic'))])
    wb.save(OUT / 'openpyxl-rich-text.xlsx'); want('openpyxl-rich-text.xlsx', lines(objects([[pid(1), tid(1), PASS, 'plain and italic']])))

    wb = openpyxl.Workbook(); hidden = wb.active; hidden.title = 'Lists'; hidden.append(['COMPLETED_PASS']); hidden.sheet_state = 'hidden'
    ws = wb.create_sheet('Decisions')
    for r in [HEADER] + PLAIN: ws.append(r)
    ws.row_dimensions[3].hidden = True; ws.auto_filter.ref = 'A1:D4'
    wb.active = 1
    wb.save(OUT / 'openpyxl-hidden.xlsx')
    want('openpyxl-hidden.xlsx', lines(objects(PLAIN)), warnings=['rows that are hidden in the sheet, by a filter for example, were read like the others: 1'])

    wb = openpyxl.Workbook(); wb.active.title = 'Empty'; wb.save(OUT / 'openpyxl-empty.xlsx'); want('openpyxl-empty.xlsx')

    for name, options in {'xlsxwriter': {}, 'xlsxwriter-constant-memory': {'constant_memory': True}, 'xlsxwriter-1904': {'date_1904': True}}.items():
        wb = xlsxwriter.Workbook(OUT / f'{name}.xlsx', options); ws = wb.add_worksheet()
        bold, percent = wb.add_format({'bold': True}), wb.add_format({'num_format': '[Red]0.00" days"'})
        for j, v in enumerate(HEADER + ['id']): ws.write(0, j, v, bold)
        for i, r in enumerate(PLAIN):
            for j, v in enumerate(r): ws.write(1 + i, j, v)
            ws.write(1 + i, 4, 1000 + i, percent)
        wb.close(); want(f'{name}.xlsx', lines([{**o, 'id': str(1000 + i)} for i, o in enumerate(objects(PLAIN))]))

    wb = xlsxwriter.Workbook(OUT / 'xlsxwriter-formula.xlsx'); ws = wb.add_worksheet()
    ws.write_row(0, 0, HEADER)
    ws.write_row(1, 0, PLAIN[0][:2]); ws.write_formula(1, 2, '="COMPLETED_"&"PASS"', None, PASS);
    ws.write_row(2, 0, PLAIN[1][:2]); ws.write_formula(2, 2, '=NA()', None, '#N/A')
    wb.close(); want('xlsxwriter-formula.xlsx', lines(objects([PLAIN[0][:3]])), refused=[[3, 'is "#N/A" (cell C3)']], hints=['"#N/A"'])

    wb = xlwt.Workbook(); ws = wb.add_sheet('Rows')
    for i, r in enumerate([HEADER] + PLAIN):
        for j, v in enumerate(r): ws.write(i, j, v)
    wb.save(str(OUT / 'xlwt.xls')); want('xlwt.xls', error='Excel workbook of before 2007 (.xls); open it in a spreadsheet program and save it as .xlsx or as CSV')

    with open(OUT / 'openpyxl-write-only.xlsx', 'rb') as plain, open(OUT / 'encrypted.xlsx', 'wb') as f:
        from msoffcrypto.format.ooxml import OOXMLFile
        OOXMLFile(plain).encrypt('secret', f)
    want('encrypted.xlsx', error='the workbook is protected by a password; open it with the password and save a copy without one')

    whole = (OUT / 'openpyxl-write-only.xlsx').read_bytes()
    put('cut-short.xlsx', whole[:-200], error='it may be cut short')
    with zipfile.ZipFile(TMP / 'binary.xlsb', 'w') as z:
        z.writestr('[Content_Types].xml', '<Types/>'); z.writestr('xl/workbook.bin', b'\x83\x01\x00')
    put('binary.xlsb', (TMP / 'binary.xlsb').read_bytes(), error='binary Excel workbook (.xlsb)')

def zips():
    def archive(name, files, **more):
        with zipfile.ZipFile(OUT / name, 'w', zipfile.ZIP_DEFLATED) as z:
            for n, data in files.items(): z.writestr(zipfile.ZipInfo(n, (2026, 1, 1, 0, 0, 0)), data)
        want(name, **more)
    archive('zip-mac.zip', {'decisions.csv': table(PLAIN), '__MACOSX/._decisions.csv': b'\0\1', '.DS_Store': b'x'}, rows=lines(objects(PLAIN)))
    archive('zip-folder.zip', {'export/': b'', 'export/decisions.jsonl': json.dumps(objects(PLAIN)[0]) + '\n'}, rows=lines(objects(PLAIN[:1]), 1))
    archive('zip-two.zip', {'a.csv': table(PLAIN), 'b.csv': table(PLAIN)}, error='the zip archive has 2 files: "a.csv", "b.csv"; unpack it and name the ones to submit')
    archive('zip-empty-folder.zip', {'export/': b''}, error='the zip archive is empty')
    archive('zip-in-zip.zip', {'a.zip': (OUT / 'zip-mac.zip').read_bytes()}, error='within another archive')

def libreoffice():
    src = TMP / 'libreoffice.csv'; src.write_text(table(PLAIN + LATIN + LINES), encoding='utf-8')
    every = objects(PLAIN + LATIN + LINES)
    def convert(kind, source=src, load='CSV:44,34,76,1,,0,false,true'):
        args = ['soffice', f'-env:UserInstallation=file://{TMP}/office', '--headless', '--convert-to', kind, '--outdir', TMP / 'office-out', source]
        if load: args.insert(3, f'--infilter={load}')
        run(*args)
        return (TMP / 'office-out' / (source.stem + '.' + kind.split(':')[0])).read_bytes()
    xlsx = convert('xlsx:Calc MS Excel 2007 XML')
    put('libreoffice.xlsx', xlsx, lines(every), duplicates=4)
    book = TMP / 'book.xlsx'; book.write_bytes(xlsx)
    first = [[i + 2, o] for i, o in enumerate(every[:5])]
    text = first + [[7, every[5]], [9, every[6]]]
    put('libreoffice.csv', convert('csv:Text - txt - csv (StarCalc):44,34,76', book, None), text, duplicates=4)
    put('libreoffice-semicolon.csv', convert('csv:Text - txt - csv (StarCalc):59,34,76,1,,0,true', book, None), text, duplicates=4)
    put('libreoffice-tab-utf16.csv', convert('csv:Text - txt - csv (StarCalc):9,34,UNICODE', book, None), text, duplicates=4)
    western = TMP / 'western.csv'; western.write_text(table(WESTERN), encoding='utf-8')
    put('libreoffice-windows1252.csv', convert('csv:Text - txt - csv (StarCalc):59,34,ANSI', western), lines(objects(WESTERN)), options={'encoding': 'windows-1252'})
    put('libreoffice.ods', convert('ods', book, None), error='OpenDocument file (.ods); open it in a spreadsheet program and save it as .xlsx or as CSV')
    put('libreoffice.xls', convert('xls:MS Excel 97', book, None), error='Excel workbook of before 2007 (.xls)')
    put('libreoffice.pdf', convert('pdf:calc_pdf_Export', book, None), error='the file is a PDF, which has no rows; ask for the spreadsheet or CSV')
    put('libreoffice.html', convert('html:HTML (StarCalc)', book, None), error='web page (HTML)')
    put('libreoffice.fods', convert('fods:OpenDocument Spreadsheet Flat XML', book, None)[:2000], error='the file is XML')
    # A workbook of openpyxl whose formulas have their results once a program saved it.
    put('libreoffice-review.xlsx', convert('xlsx:Calc MS Excel 2007 XML', OUT / 'openpyxl-review.xlsx', None), lines(REVIEWED, 5), options=MAPPED,
        warnings=['the header is in row 4', IGNORED_NAME, 'of 2'], refused=[[11, 'profile_id: missing']], hints=['"3" (1)'])

def postgres():
    data, sock = TMP / 'pg', TMP / 'pgsock'
    sock.mkdir(); sock.chmod(0o777); TMP.chmod(0o755)
    bin = sorted(pathlib.Path('/usr/lib/postgresql').glob('*/bin'))[-1]
    as_user = ['setpriv', '--reuid=postgres', '--regid=postgres', '--clear-groups'] if os.getuid() == 0 else []
    data.mkdir()
    if as_user: shutil.chown(data, 'postgres', 'postgres')
    run(*as_user, bin / 'initdb', '-D', data, '-A', 'trust', '-U', 'verdict', '-E', 'UTF8', '--locale=C', '-N', cwd='/')
    subprocess.run([*as_user, str(bin / 'pg_ctl'), '-D', str(data), '-w', '-o', f"-k {sock} -c listen_addresses=''", '-l', '/dev/null', 'start'], check=True, cwd='/', stdout=subprocess.DEVNULL)
    try:
        def psql(*args): return run('psql', '-X', '-h', sock, '-U', 'verdict', '-d', 'postgres', *args)
        psql('-c', 'create table decisions (profile_id uuid, task_id uuid, state text, reason text)')
        for r in PLAIN[:2] + LATIN[1:] + [[pid(4), tid(4), PASS, None]]:
            psql('-c', 'insert into decisions values (%s)' % ','.join('null' if v is None else "'%s'" % v.replace("'", "''") for v in r))
        every = objects(PLAIN[:2] + LATIN[1:] + [[pid(4), tid(4), PASS, '']])
        copy = lambda how: psql('-c', f'copy decisions to stdout with ({how})')
        put('postgres-copy.csv', copy('format csv, header'), lines(every), duplicates=1)
        put('postgres-copy-semicolon.csv', copy("format csv, header, delimiter ';', force_quote *"), lines(every), duplicates=1)
        put('postgres-copy-text.tsv', copy('format text, header'), lines(every), duplicates=1)
        put('postgres-copy-no-header.csv', copy('format csv'), error='it has IDs, so the file has no header')
        put('postgres-copy-binary.bin', copy('format binary'), error="PostgreSQL's binary COPY format; export the table with COPY … TO STDOUT WITH (FORMAT csv, HEADER)")
        put('postgres-psql.csv', psql('--csv', '-c', 'select * from decisions'), lines(every), duplicates=1)
        put('postgres-unaligned.txt', psql('-A', '-c', 'select profile_id, task_id, state from decisions limit 2'), lines(objects([r[:3] for r in PLAIN[:2]])),
            refused=[[4, 'the row has 1 cells, but the header has 3']])
        put('postgres-json-agg.json', psql('-At', '-c', 'select json_agg(decisions) from decisions'), [[i + 1, {**o, 'reason': o.get('reason')}] for i, o in enumerate(every)], duplicates=1)
        put('postgres-json-rows.jsonl', psql('-At', '-c', 'select row_to_json(decisions) from decisions'), [[i + 1, {**o, 'reason': o.get('reason')}] for i, o in enumerate(every)], duplicates=1)
    finally:
        subprocess.run([*as_user, str(bin / 'pg_ctl'), '-D', str(data), '-w', '-m', 'fast', 'stop'], check=True, cwd='/', stdout=subprocess.DEVNULL)

def sqlite():
    db = TMP / 'decisions.db'
    con = sqlite3.connect(db); con.execute('create table decisions (profile_id, task_id, state, reason)')
    rows = PLAIN[:2] + LINES
    con.executemany('insert into decisions values (?,?,?,?)', rows); con.commit(); con.close()
    every = objects(rows)
    text = lines(every[:3]) + [[6, every[3]]]
    q = 'select * from decisions'
    put('sqlite.csv', run('sqlite3', '-header', '-csv', db, q), text, duplicates=2)
    put('sqlite-semicolon.csv', run('sqlite3', '-header', '-csv', '-separator', ';', db, q), text, duplicates=2)
    put('sqlite-list.txt', run('sqlite3', '-header', '-list', db, 'select profile_id, task_id, state from decisions limit 2'), lines(objects([r[:3] for r in rows[:2]])))
    put('sqlite-tabs.tsv', run('sqlite3', '-header', '-tabs', db, 'select profile_id, task_id, state from decisions limit 2'), lines(objects([r[:3] for r in rows[:2]])))
    put('sqlite.json', run('sqlite3', '-json', db, q), lines(every, 1), duplicates=2)
    put('sqlite.db', db.read_bytes(), error='SQLite database; export the table, for example: sqlite3 -header -csv FILE')

def jq():
    src = json.dumps(objects(PLAIN)).encode()
    jq = lambda *a, data=src: run('jq', *a, stdin=data)
    every = lines(objects(PLAIN), 1)
    put('jq-array.json', jq('.'), every)
    put('jq-array-compact.json', jq('-c', '.'), every)
    put('jq-objects.json', jq('.[]'), every)
    put('jq-lines.jsonl', jq('-c', '.[]'), every)
    put('jq-tab-objects.json', jq('--tab', '.[]'), every)
    put('jq-csv.csv', jq('-r', '["profile_id","task_id","state","reason"], (.[] | [.profile_id,.task_id,.state,.reason]) | @csv'), lines(objects(PLAIN)))
    put('jq-tsv.tsv', jq('-r', '["profile_id","task_id","state"], (.[] | [.profile_id,.task_id,.state]) | @tsv'), lines(objects([r[:3] for r in PLAIN])))
    put('jq-cut-short.json', jq('.')[:-60], error='the file ends within an object; it may be cut short')
    put('jq-camel.json', jq('[.[] | {profileId: .profile_id, taskId: .task_id, state}]'), options={'map': {'profileId': 'profile_id', 'taskId': 'task_id'}}, rows=lines(objects([r[:3] for r in PLAIN]), 1))
    put('jq-camel-proposed.json', jq('[.[] | {profileId: .profile_id, taskId: .task_id, state}][:1]'), refused=[[1, 'profile_id: missing; task_id: missing']],
        warnings=['"profileId", "taskId"'], hints=['the member "profileId" looks like profile_id; if it is, add --map profileId=profile_id', '--map taskId=task_id'])
    put('jq-words.json', jq('[.[] | .state = (if .state == "COMPLETED_PASS" then "passed" else "Failed" end)]'), every, options={'values': {'passed': PASS, 'failed': FAIL}})
    put('jq-two-arrays.json', jq('-c', '.') * 2, error='there is something after the end of the array; put all objects into one array')

if __name__ == '__main__':
    shutil.rmtree(OUT, ignore_errors=True); OUT.mkdir()
    for make in (python_csv, excel_forms, pandas_files, workbooks, zips, libreoffice, postgres, sqlite, jq):
        if len(sys.argv) < 2 or make.__name__ in sys.argv[1:]: make()
    shutil.rmtree(TMP, ignore_errors=True)
    print(f'{len(made)} files in {OUT}')
