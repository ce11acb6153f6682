"""A CSV file is read whole or refused by name, whatever cut it off."""

import re

import pandas as pd
import pytest

from condense.base.errors import InputError
from condense.base.tables import read_rows, read_table, write_rows, write_table

TABLE = pd.DataFrame(
    {"class": ["007", 'a "b"\n, c'], "images": [3, 12], "fid": [1.25, None], "note": ["", "x"]}
)


def test_a_table_comes_back_and_its_rows_as_text(tmp_path):
    write_table(TABLE, tmp_path / "t.csv")
    pd.testing.assert_frame_equal(read_table(tmp_path / "t.csv"), TABLE.replace("", float("nan")))
    assert list(read_rows(tmp_path / "t.csv", ["class", "fid"])) == [
        {"class": "007", "images": "3", "fid": "1.25", "note": ""},
        {"class": 'a "b"\n, c', "images": "12", "fid": "", "note": "x"},
    ]


def test_a_table_cut_at_any_byte_is_named_unless_lines_alone_are_missing(tmp_path):
    path = tmp_path / "t.csv"
    write_table(TABLE, path)
    whole = path.read_bytes()
    ends = [at + 1 for at, byte in enumerate(whole) if byte == ord("\n") and whole[:at].count(b'"') % 2 == 0]
    assert len(ends) == 3
    for kept in {*range(len(whole))} - {*ends}:
        path.write_bytes(whole[:kept])
        for read in (read_table, lambda path: list(read_rows(path))):
            with pytest.raises(
                InputError, match=rf"^{re.escape(str(path))} is not a whole table \(.*\): if "
            ):
                read(path)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "it is empty"),
        (b"a,b\n1,2\n3\n", "line 3 has 1 of 2 cells"),
        (b"a,b\n1,2,3\n", "line 2 has 3 of 2 cells"),
        (b"a,b\n1,2\n3,4", "its last line has no end, as of a file that is cut off"),
        (b'a,b\n1,"2\n', "line 2: unexpected end of data"),
        (b"a,b\n1,\xff\n", "can't decode byte 0xff"),
        (b"a,c\n1,2\n", "column b is missing"),
    ],
)
def test_the_fault_is_said(tmp_path, content, fault):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(InputError, match=fault):
        list(read_rows(tmp_path / "t.csv", ["a", "b"]))


def test_a_file_that_is_not_there_is_named(tmp_path):
    for read in (read_table, lambda path: list(read_rows(path))):
        with pytest.raises(InputError, match=r"none\.csv is not a whole table \(.*No such file"):
            read(tmp_path / "none.csv")


def test_what_spreadsheets_write_is_read(tmp_path):
    (tmp_path / "t.csv").write_bytes("\ufeffa,b\r\nnaïve,2\r\n\r\n".encode())
    assert list(read_rows(tmp_path / "t.csv", ["a"])) == [{"a": "naïve", "b": "2"}]


def test_a_cell_may_be_as_long_as_a_trace(tmp_path):
    long = " ".join(["0.1234567"] * 20_000)
    write_rows(tmp_path / "t.csv", ["class", "trace"], [("a", long)])
    assert read_table(tmp_path / "t.csv")["trace"].tolist() == [long]
