import json
import os
import signal

import pytest

from registry.errors import ModelError, ModelFileError
from registry.inspection import benchmark, delegates, inspect_model
from registry.runtime.child import Child


def test_files_are_measured_in_turns(files):
    seen = []
    report = benchmark(
        [files["int8"]], against=files["float"], threads=1, runs=4, warmup=1,
        progress=lambda what, number, total: seen.append((what, number, total)),
    )  # fmt: skip
    assert [measurement.path for measurement in report.measurements] == [files["int8"], files["float"]]
    assert all(len(measurement.times_ms) == 4 for measurement in report.measurements)
    (speedup,) = report.speedups
    assert speedup.ratio == report.measurements[1].median_ms / report.measurements[0].median_ms
    assert speedup.paired_quartiles[0] <= speedup.paired_ratio <= speedup.paired_quartiles[1]
    assert [entry for entry in seen if entry[0] == "timing"] == [("timing", n, 4) for n in range(1, 5)]
    assert "× as fast as" in str(report)
    json.dumps(report.to_dict(), allow_nan=False)


def test_memory_and_size_are_told(files):
    (measurement,) = benchmark([files["float"]], runs=3, warmup=0).measurements
    assert measurement.size_bytes == files["float"].stat().st_size
    assert measurement.peak_bytes >= measurement.model_bytes > 0
    assert measurement.input_shapes == ((1, 32, 48, 3),)


def test_the_profile_names_kernels(files):
    (measurement,) = benchmark([files["argmax"]], runs=3, profile=True).measurements
    assert measurement.profile_problem is None
    assert "ARG_MAX" in {step.kernel for step in measurement.profile}


def test_an_open_size_is_given(files):
    (measurement,) = benchmark([files["open"]], runs=3, size=(16, 24), profile=True).measurements
    assert "fixed size" in measurement.profile_problem
    assert measurement.input_shapes == ((1, 16, 24, 3),)


def test_a_time_limit_ends_the_rounds_after_the_third(files):
    (measurement,) = benchmark([files["float"]], runs=5000, seconds=1e-9).measurements
    assert len(measurement.times_ms) == 3


@pytest.mark.parametrize(
    "options",
    [
        {"threads": 0},
        {"threads": 10**6},
        {"runs": 2},
        {"runs": True},
        {"warmup": -1},
        {"seconds": 0},
        {"seconds": float("nan")},
    ],
)
def test_arguments_out_of_range(files, options):
    with pytest.raises(ModelError):
        benchmark([files["float"]], **options)


def test_no_file_and_too_many():
    for paths in ([], ["x.tflite"] * 17):
        with pytest.raises(ModelError, match="1 to 16"):
            benchmark(paths)


def test_a_file_that_is_absent_or_none(files, tmp_path):
    with pytest.raises(ModelFileError, match="must exist"):
        benchmark([tmp_path / "absent.tflite"])
    (tmp_path / "text.tflite").write_text("hello, this is no model")
    with pytest.raises(ModelFileError, match="TFL3"):
        benchmark([files["float"], tmp_path / "text.tflite"])


def test_a_child_that_dies_or_hangs_is_an_error(files):
    with Child(delegates.WORKER, files["float"]) as child:
        os.kill(child._process.pid, signal.SIGSEGV)
        with pytest.raises(ModelFileError, match="SIGSEGV"):
            child.ask("memory", seconds=60)
    with Child(delegates.WORKER, files["float"]) as child:
        os.kill(child._process.pid, signal.SIGSTOP)
        with pytest.raises(ModelFileError, match="must finish"):
            child.ask("memory", seconds=0.2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "count"),
    [
        ("float", 50),
        ("int8", 50),
        *(pytest.param(kind, 300, marks=pytest.mark.sweep) for kind in ("float", "int8")),
    ],
)
def test_damaged_files_never_take_this_process_along(files, damaged, kind, count, tmp_path):
    """The same damage as in test_model: what can be described is loaded and run, in children."""
    original, refused = files[kind].read_bytes(), 0
    path = tmp_path / "damaged.tflite"
    for seed in range(count):
        path.write_bytes(damaged(original, seed))
        try:
            inspection = inspect_model(path)
            delegates.inspect_delegates(path, inspection)
            benchmark([path], runs=3, warmup=0, threads=1)
        except (ModelFileError, ModelError):
            refused += 1
    assert refused > count // 3
