"""How a workbook shows its cells: percentages, currencies, dates, times, leading zeros; and which cells are merged."""

import re
import zipfile
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from pathlib import Path
from posixpath import join, normpath
from xml.etree import ElementTree

from burnish.data.reading.values import duration_text, plain

Place = tuple[int, int]
"""Row and column, counted from 0."""
FAILED = "failed formulas"
_MAX_CELLS = 200_000
"""Formats of so many cells are looked at."""


@dataclass(frozen=True)
class CellFormat:
    """What kind of values a cell holds, and its text where the stored number is not that; None for the number."""

    kind: str
    text: str | None
    is_changed: bool = True
    """Whether what is read differs from what Excel shows."""


@dataclass(frozen=True)
class CellFormats:
    """The cells of a sheet that Excel shows otherwise than it stores them; cells merged downwards: rows, and column."""

    cells: dict[Place, CellFormat] = field(default_factory=dict)
    merged: list[tuple[int, int, int]] = field(default_factory=list)
    numbers: set[Place] = field(default_factory=set)
    """Cells with long numbers, not text."""


def read_cell_formats(path: Path, number: int) -> CellFormats:
    """The formats of a sheet, counted from 0; none where the workbook is of a form that is not understood."""
    try:
        with zipfile.ZipFile(path) as archive:
            sheet, is_1904 = _sheet_path(archive, number)
            codes = _codes(archive)
            return _read_sheet(archive, sheet, codes, is_1904=is_1904)
    except (zipfile.BadZipFile, KeyError, IndexError, ValueError, ElementTree.ParseError, OSError):
        return CellFormats()


def _sheet_path(archive: zipfile.ZipFile, number: int) -> tuple[str, bool]:
    book = ElementTree.fromstring(archive.read("xl/workbook.xml"))
    relations = ElementTree.fromstring(archive.read("xl/_rels/workbook.xml.rels"))
    targets = {relation.get("Id"): relation.get("Target", "") for relation in relations}
    sheet = book.findall("{*}sheets/{*}sheet")[number]
    own = next(value for key, value in sheet.attrib.items() if key.endswith("}id"))
    properties = book.find("{*}workbookPr")
    is_1904 = properties is not None and properties.get("date1904") in ("1", "true")
    return normpath(join("xl", targets[own])).removeprefix("/"), is_1904


def _codes(archive: zipfile.ZipFile) -> list[str]:
    """The number format of each style."""
    styles = ElementTree.fromstring(archive.read("xl/styles.xml"))
    own = {item.get("numFmtId"): item.get("formatCode", "") for item in styles.findall("{*}numFmts/{*}numFmt")}
    ids = [item.get("numFmtId", "0") for item in styles.findall("{*}cellXfs/{*}xf")]
    return [own.get(code) or _BUILT_IN.get(code, "") for code in ids]


def _read_sheet(archive: zipfile.ZipFile, sheet: str, codes: list[str], *, is_1904: bool) -> CellFormats:
    found = CellFormats()
    with archive.open(sheet) as stream:
        for _, element in ElementTree.iterparse(stream):
            tag = element.tag.rpartition("}")[2]
            if tag == "c" and element.get("r") and len(found.cells) < _MAX_CELLS:
                _read_cell(found, element, codes, is_1904=is_1904)
            elif tag == "mergeCell":
                _read_merge(found, element.get("ref", ""))
            if tag == "row":
                element.clear()
    return found


def _read_cell(found: CellFormats, element: ElementTree.Element, codes: list[str], *, is_1904: bool) -> None:
    value = element.findtext("{*}v")
    if value is None:
        return
    place = _place(element.get("r", ""))
    if element.get("t") == "e":
        found.cells[place] = CellFormat(FAILED, None)
    elif element.get("t") == "b":
        found.cells[place] = CellFormat("TRUE and FALSE", None)
    elif element.get("t", "n") == "n":
        number, code = float(value), codes[int(element.get("s", "0"))] if codes else ""
        if abs(number) >= 1e15:
            found.numbers.add(place)
        if cell := _format_of(number, code, is_1904=is_1904):
            found.cells[place] = cell


def _format_of(number: float, code: str, *, is_1904: bool) -> CellFormat | None:
    bare = re.sub(r'"[^"]*"|\\.|_.|\*.', "", code.split(";")[0])
    letters = re.sub(r"\[(?![hms]+\])[^\]]*\]", "", bare).lower()
    if "[h" in letters or "[m" in letters or "[s" in letters:
        return CellFormat("durations", duration_text(timedelta(seconds=round(number * 86400, 3))), is_changed=False)
    if re.search(r"[ydhs]|mm", letters) and "general" not in letters:
        return _moment(number, has_date=bool(re.search(r"[yd]|mmm", letters)), is_1904=is_1904)
    if "%" in bare:
        return CellFormat("percentages", None)
    if re.search(r"[$€£¥₹]", code) or re.search(r'"[^"]*[^\W\d_]{1,3}[^"]*"', code):
        return CellFormat("amounts with a currency or unit", None)
    if re.fullmatch(r"0{2,}", bare) and number >= 0 and number == int(number) and number < 10 ** (len(bare) - 1):
        return CellFormat("numbers with leading zeros", f"{int(number):0{len(bare)}}", is_changed=False)
    return None


def _moment(number: float, *, has_date: bool, is_1904: bool) -> CellFormat | None:
    whole = timedelta(seconds=round(number * 86400, 3))
    if not has_date and 0 <= number < 1:
        return CellFormat("times", time.isoformat((datetime.min + whole).time()), is_changed=False)
    if not 0 <= number < 2_958_466:
        return None
    start = datetime(1904, 1, 1) if is_1904 else datetime(1899, 12, 30) + timedelta(days=number < 60)
    return CellFormat("dates", plain(start + whole))


def _read_merge(found: CellFormats, ref: str) -> None:
    first, _, last = ref.partition(":")
    if not last:
        return
    (top, left), (bottom, right) = _place(first), _place(last)
    if bottom > top and left == right:
        found.merged.append((top, bottom, left))


def _place(ref: str) -> Place:
    match = _REF.fullmatch(ref)
    if not match:
        raise ValueError(ref)
    column = 0
    for letter in match[1]:
        column = column * 26 + ord(letter) - ord("A") + 1
    return int(match[2]) - 1, column - 1


_REF = re.compile(r"\$?([A-Z]{1,3})\$?(\d+)")
_BUILT_IN = {
    "9": "0%", "10": "0.00%", "14": "yyyy-mm-dd", "15": "d-mmm-yy", "16": "d-mmm", "17": "mmm-yy", "18": "h:mm",
    "19": "h:mm:ss", "20": "h:mm", "21": "h:mm:ss", "22": "yyyy-mm-dd hh:mm", 
    "45": "mm:ss", "46": "[h]:mm:ss", "47": "mm:ss",
    "5": "$0", "6": "$0", "7": "$0.00", "8": "$0.00", "44": "$0.00",
}  # fmt: skip
