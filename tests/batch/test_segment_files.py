"""Many images: the same masks as one by one, whatever fails, ends or is done again."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import registry
from registry.batch import pipeline, running, workers
from registry.batch.items import find_items
from registry.batch.results import Results
from registry.errors import ModelError, ModelFileError, OutputPathError

GOOD = ("0", "1", "2", "deep/3", "deep/4")


def mask(path):
    with Image.open(path) as image:
        return np.asarray(image)


def lines(folder):
    return [
        json.loads(text) for text in (folder / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    ]


def no_leftovers(folder):
    return not list(folder.rglob(".*"))


def test_masks_are_those_of_one_image_at_a_time_and_failures_stop_nothing(segmenter, photos, tmp_path):
    told = []
    report = registry.segment_files(
        segmenter, photos, tmp_path / "out", labels=["no", "red"], progress=lambda *what: told.append(what)
    )
    assert (report.images, report.segmented, report.skipped) == (6, 5, 0)
    (failed,) = report.failed
    assert failed.source.endswith("damaged.png")
    assert "can be decoded" in failed.error
    for key in GOOD:
        assert (mask(tmp_path / "out" / f"{key}_mask.png") == segmenter.segment(photos / f"{key}.png")).all()
        assert (tmp_path / "out" / f"{key}_overlay.png").is_file()
    written = {line["key"]: line for line in lines(tmp_path / "out")}
    assert list(written) == [*GOOD, "deep/damaged"]
    assert written["1"]["classes"] == [
        {"index": 0, "name": "no", "pixels": 128, "fraction": 0.5},
        {"index": 1, "name": "red", "pixels": 128, "fraction": 0.5},
    ]
    assert "error" in written["deep/damaged"]
    assert told[-1][1:] == (6, 6)
    assert no_leftovers(tmp_path / "out")


def test_a_second_run_does_only_what_is_left(segmenter, photos, tmp_path, monkeypatch):
    out = tmp_path / "out"
    registry.segment_files(segmenter, photos, out, overlays=False)
    first = {path: path.stat().st_mtime_ns for path in out.rglob("*_mask.png")}
    assert not list(out.rglob("*_overlay.png"))
    (out / "1_mask.png").unlink()  # as if it had been ended before
    later = time.time_ns() + 10**9
    os.utime(photos / "2.png", ns=(later, later))  # changed since
    with (out / "predictions.jsonl").open("a") as journal:
        journal.write('{"key": "0", "cla')  # ended in the middle of a line
    seen = []
    original = pipeline._decode
    monkeypatch.setattr(pipeline, "_decode", lambda item: seen.append(item.key) or original(item))
    report = registry.segment_files(segmenter, photos, out, overlays=False)
    assert sorted(seen) == ["1", "2", "deep/damaged"]
    assert (report.segmented, report.skipped, len(report.failed)) == (2, 3, 1)
    assert (out / "0_mask.png").stat().st_mtime_ns == first[out / "0_mask.png"]
    assert [line["key"] for line in lines(out)] == [*GOOD, "deep/damaged"]
    assert all(line["classes"] for line in lines(out)[:5])


def test_results_of_another_model_or_other_options_are_not_mixed(segmenter, photos, tmp_path):
    out = tmp_path / "out"
    registry.segment_files(segmenter, photos / "0.png", out)
    with pytest.raises(OutputPathError, match=r"differs in overlays"):
        registry.segment_files(segmenter, photos / "0.png", out, overlays=False)
    assert (
        registry.segment_files(segmenter, photos / "0.png", out, overlays=False, restart=True).segmented == 1
    )
    # What is there is older than that run, and belongs to the first.
    os.utime(out / "0_mask.png", ns=(1, 1))
    assert registry.segment_files(segmenter, photos / "0.png", out, overlays=False).segmented == 1


def test_lines_that_were_lost_are_read_off_the_masks(segmenter, photos, tmp_path):
    out = tmp_path / "out"
    registry.segment_files(segmenter, photos / "1.png", out)
    before = lines(out)
    (out / "predictions.jsonl").unlink()
    assert registry.segment_files(segmenter, photos / "1.png", out).skipped == 1
    assert lines(out) == before


def test_at_most_a_window_of_images_is_held(segmenter, photos, tmp_path, monkeypatch):
    held = peak = 0

    def decode(item):
        nonlocal held, peak
        held += 1
        peak = max(peak, held)
        return np.zeros((4, 4, 3), np.uint8)

    def write(self, item, pixels, mask, look):
        nonlocal held
        held -= 1
        return {}

    monkeypatch.setattr(pipeline, "_decode", decode)
    monkeypatch.setattr(Results, "write", write)
    items = find_items([photos / "0.png"]) * 200
    outcomes = pipeline.run_pipeline(items, segmenter.segment, Results(tmp_path, False), running.Look())
    assert sum(1 for _ in outcomes) == 200
    assert peak <= 2 * pipeline._WINDOW + 1


def test_a_full_disk_ends_the_run(segmenter, photos, tmp_path, monkeypatch):
    def write(self, item, pixels, mask, look):
        raise OutputPathError("the disk must have room") from OSError(28, "No space left on device")

    monkeypatch.setattr(Results, "write", write)
    with pytest.raises(OutputPathError, match="room"):
        registry.segment_files(segmenter, photos, tmp_path / "out")


def test_several_processes_give_the_same_and_a_crash_costs_one_image(tflite, photos, tmp_path, monkeypatch):
    """The worker of this test dies of one image, as an interpreter or a decoder might."""
    (tmp_path / "dying_worker.py").write_text(
        "import os\n"
        "from registry.batch import pipeline\n"
        "from registry.batch.worker import Worker\n"
        "from registry.runtime.child import serve\n"
        "decode = pipeline._decode\n"
        "def dying(item):\n"
        "    if item.key == 'deep/3':\n"
        "        os.abort()\n"
        "    return decode(item)\n"
        "pipeline._decode = dying\n"
        "worker = Worker()\n"
        "serve({'open': worker.open, 'segment': worker.segment})\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(workers, "_MODULE", "dying_worker")
    report = registry.segment_files(tflite, photos, tmp_path / "out", workers=2, threads=1)
    assert report.segmented == 4
    assert {Path(one.source).name for one in report.failed} == {"3.png", "damaged.png"}
    assert "SIGABRT" in next(one.error for one in report.failed if one.key == "deep/3")
    monkeypatch.setattr(workers, "_MODULE", "registry.batch.worker")
    again = registry.segment_files(tflite, photos, tmp_path / "out", workers=2, threads=1)
    assert (again.segmented, again.skipped, len(again.failed)) == (1, 4, 1)
    expected = registry.Segmenter(tflite, trusted=True)
    for key in GOOD:
        assert (mask(tmp_path / "out" / f"{key}_mask.png") == expected.segment(photos / f"{key}.png")).all()


def test_a_run_that_is_killed_goes_on(tflite, photos, tmp_path):
    out = tmp_path / "out"
    for number in range(200):
        os.link(photos / "0.png", photos / f"more{number:03}.png")
    program = (
        f"import registry; registry.segment_files({str(tflite)!r}, {str(photos)!r}, {str(out)!r}, threads=1)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    deadline = time.monotonic() + 300
    while len(list(out.glob("*_mask.png"))) < 5 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = len(list(out.rglob("*_mask.png")))
    report = registry.segment_files(registry.Segmenter(tflite, num_threads=1, trusted=True), photos, out)
    assert report.skipped >= min(done, 5) - 1  # the last mask may lack nothing but its line
    assert report.segmented + report.skipped == 205
    assert len(lines(out)) == 206
    for path in out.rglob("*.png"):
        if not path.name.startswith("."):
            mask(path)


def test_a_model_in_keras_is_one_process(small_model, photos, tmp_path):
    with pytest.raises(ModelError, match=r"\.tflite"):
        registry.segment_files(small_model, photos, tmp_path / "out", workers=2)
    with pytest.raises(ModelError, match="segmenter"):
        registry.segment_files(object(), photos, tmp_path / "out")
    with pytest.raises(ModelFileError):
        registry.segment_files(tmp_path / "absent.tflite", photos, tmp_path / "out")
    report = registry.segment_files(small_model, photos / "1.png", tmp_path / "out", size=(32, 32))
    assert report.segmented == 1
    expected = small_model.segment(photos / "1.png", size=(32, 32))
    assert (mask(tmp_path / "out" / "1_mask.png") == expected).all()
