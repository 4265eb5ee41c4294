"""What the report says, and what it draws."""

import xml.etree.ElementTree as ET

import pytest

from tests.benchmarks.figures import Comparison, Curve, Measure
from tests.benchmarks.machine import describe
from tests.benchmarks.plots import draw
from tests.benchmarks.report import markdown, number, table

FOUND = Comparison(
    "files",
    "Files",
    "Two files.",
    [
        Measure("float32", "ms", {"atrous": [10.0, 11.0, 12.0], "Peer": [20.0, 22.0, 24.0]}),
        Measure("int8", "ms", {"atrous": [8.0], "Peer": [4.0]}),
        Measure("lost", "ms", {"Peer": [4.0]}),
        Measure("file", "MB", {"atrous": [100.0], "Peer": [150.0]}),
    ],
    {"atrous": {"parameters": 39196032, "first loss": 3.4204}},
    {"Other": "no wheel for this machine"},
    (0.5, 3.25),
    "2026-01-31, quick",
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.00001234, "0.000012"),
        (0.01234, "0.0123"),
        (0.99949, "0.999"),
        (0.9996, "1.00"),
        (1.234, "1.23"),
        (9.996, "10.0"),
        (45.67, "45.7"),
        (99.96, "100"),
        (1234.5, "1,234"),
        (16314287.8, "16,314,288"),
    ],
)
def test_numbers_have_the_digits_that_matter(value, text):
    assert number(value) == text


def test_cells_cannot_break_a_table():
    assert table(["a", "b"], [("x|y", "1")]).splitlines() == ["| a | b |", "| --- | ---: |", "| x\\|y | 1 |"]


@pytest.fixture(scope="module")
def report():
    about = describe({"atrous": {"tensorflow": "2.21.0"}})
    return markdown(about, [FOUND], {"files": ["files_ms.svg"]})


def test_medians_spread_and_ratios(report):
    assert "| float32 | Peer | 22.0 ms | 21.0–23.0 | **2.00** | 2.00–2.00 |" in report
    assert "| int8 | atrous | 8.00 ms | one run | 1 |  |" in report
    assert "| lost | Peer | 4.00 ms | one run | – |  |" in report


def test_where_another_is_ahead(report):
    section = report.split("## Where another is ahead")[1].split("## Files")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")][2:]
    assert rows == ["| int8 | Peer | 4.00 ms | 8.00 ms | 2.00 × |"]


def test_conditions_problems_facts_and_plots(report):
    assert "- load average: 0.5 to 3.25" in report
    assert "Measured 2026-01-31, quick; load average 0.5 before, 3.25 after." in report
    assert "- Other: no wheel for this machine" in report
    assert "| atrous | 39,196,032 | 3.42040 |" in report
    assert "![Files](files_ms.svg)" in report


def test_the_machine_has_no_name_and_no_paths(report):
    import getpass
    import platform

    assert platform.node() not in report
    assert f"/{getpass.getuser()}" not in report


def test_points_by_unit_and_lines(tmp_path):
    assert [path.name for path in draw(FOUND, tmp_path)] == ["files_ms.svg", "files_mb.svg"]
    curve = Curve("Over size", "pixels", [64, 128], ["float32", "int8"])
    (path,) = draw(Comparison("scaling", "Scaling", "", FOUND.measures, curves=[curve]), tmp_path)
    texts = {element.text for element in ET.parse(path).iter() if element.text}
    assert {"Over size", "pixels", "64", "128", "atrous", "Peer"} <= {text.strip() for text in texts}
    first = path.read_bytes()
    draw(Comparison("scaling", "Scaling", "", FOUND.measures, curves=[curve]), tmp_path)
    assert path.read_bytes() == first
