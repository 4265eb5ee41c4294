import json
from pathlib import Path

import pytest


def test_inspect_describes_the_file(run, tiny_tflite):
    result = run("inspect", tiny_tflite)
    assert result.exit_code == 0, result.stderr
    for text in (
        "1 × 16 × 24 × 3 float32",
        "CONV_2D 1",
        "float32",
        "XNNPACK",
        "1 of 1 operations in 1 partition",
    ):
        assert text in result.stdout


def test_inspect_json(run, tiny_tflite):
    result = run("inspect", tiny_tflite, "--json")
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["inspection"]["macs"] == 4 * 6 * 2 * 3
    assert document["inspection"]["histogram"] == {"CONV_2D": 1}
    assert document["delegates"]["xnnpack_partitions"] == 1
    assert document["html"] is None


def test_inspect_without_running_it_lists_operations_and_writes_a_page(run, tiny_tflite):
    result = run("inspect", tiny_tflite, "--no-run", "--operations", "--html", "page.html")
    assert result.exit_code == 0, result.stderr
    assert "XNNPACK" not in result.stdout
    assert "1 x 4 x 6 x 2" in result.stdout
    assert Path("page.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_benchmark_in_json_and_for_people(run, tiny_tflite):
    result = run("benchmark", tiny_tflite, "--against", tiny_tflite, "--runs", 3, "--threads", 1, "--json")
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert (document["rounds"], document["threads"]) == (3, 1)
    assert [len(entry["times_ms"]) for entry in document["measurements"]] == [3, 3]
    assert document["speedups"][0]["ratio"] > 0
    result = run("benchmark", tiny_tflite, "--runs", 3, "--profile")
    assert result.exit_code == 0, result.stderr
    assert "median" in result.stdout
    assert "kernel" in result.stdout


@pytest.mark.parametrize("command", ["inspect", "benchmark"])
def test_damaged_and_absent_files_are_wrong_input(run, tiny_tflite, command):
    Path("cut.tflite").write_bytes(tiny_tflite.read_bytes()[:300])
    Path("text.tflite").write_text("no model")
    for name in ("cut.tflite", "text.tflite", "absent.tflite", "."):
        result = run(command, name)
        assert result.exit_code == 1, result.stderr
        assert result.stdout == ""
        assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("inspect", "--html", "page.txt"), "end in .html"),
        (("inspect", "--size", "64"), "made for 16 × 24"),
        (("benchmark", "--threads", "0"), "threads"),
        (("benchmark", "--runs", "1"), "runs"),
        (("benchmark", "--against", "absent.tflite"), "must exist"),
    ],
)
def test_options_that_do_not_fit(run, tiny_tflite, arguments, message):
    command, *options = arguments
    result = run(command, tiny_tflite, *options)
    assert result.exit_code == 1
    assert message in result.stderr
