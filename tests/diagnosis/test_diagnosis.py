"""Environments that are wrong in one way each, made of metadata files in folders of their own."""

import json
import sys

import numpy as np
import pytest

from registry import diagnosis
from registry.diagnosis import caches, frameworks, hardware, interpreter, packages, plugins


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """An environment that holds only what is asked for: `installed("a 1.0", requires=["b>=2"])`."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.setattr(sys, "path", [str(site)])

    def install(what, *, requires=(), extras=()):
        name, version = what.split()
        folder = site / f"{name.replace('-', '_')}-{version}.dist-info"
        folder.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        lines += [f"Requires-Dist: {text}" for text in requires]
        lines += [f"Provides-Extra: {extra}" for extra in extras]
        (folder / "METADATA").write_text("\n".join(lines) + "\n")

    return install


def by_subject(findings):
    return {finding.subject: finding for finding in findings}


def test_conflicts_are_found_along_all_requirements_and_only_there(installed):
    installed(
        "atrous 0.1.0", requires=["tensorflow>=2.21,<2.22", "numpy>=1.26", "gone", "x; extra == 'more'"]
    )
    installed("tensorflow 2.21.0", requires=["protobuf<7", "winreg; sys_platform == 'win32'", "numpy"])
    installed("numpy 1.25.0")
    installed("protobuf 7.1", requires=["atrous"])
    installed("stranger 1.0", requires=["numpy>=9"])
    found = {
        (owner, requirement.name, version) for owner, requirement, version in packages.conflicts("atrous")
    }
    assert found == {
        ("atrous", "numpy", "1.25.0"),
        ("atrous", "gone", None),
        ("tensorflow", "protobuf", "7.1"),
    }


def test_a_version_that_does_not_fit_is_a_problem_with_its_repair(installed):
    installed(
        "atrous 0.1.0", requires=["tensorflow<2.22,>=2.21", "scipy>=2; extra == 'data'"], extras=["data"]
    )
    installed("tensorflow 2.15.0")
    found = by_subject(packages.examine_packages())
    problem = found["atrous needs tensorflow"]
    assert problem.status == "problem"
    assert "2.15.0 is installed" in problem.detail
    assert problem.repair == "pip install 'tensorflow<2.22,>=2.21'"
    assert found["extras"].detail == "complete: none; not installed: data"


def test_another_distribution_of_tensorflow_serves_but_not_beside_the_first(installed):
    installed("atrous 0.1.0", requires=["tensorflow>=2.21,<2.22"])
    installed("tensorflow-cpu 2.21.0")
    assert not [finding for finding in packages.examine_packages() if finding.status == "problem"]
    installed("tensorflow 2.21.0")
    (problem,) = [finding for finding in packages.examine_packages() if finding.status == "problem"]
    assert problem.subject == "twins"
    assert "tensorflow 2.21.0 and tensorflow-cpu 2.21.0" in problem.detail


def test_atrous_that_is_not_installed_finds_no_plugins_and_says_so(installed):
    assert by_subject(packages.examine_packages())["atrous"].status == "problem"


@pytest.mark.parametrize(
    ("legacy", "meant"), [("1", "tf-keras 2.21.0"), ("0", "Keras 3.15.1"), (None, "Keras 3.15.1")]
)
def test_which_keras_a_program_gets(installed, monkeypatch, legacy, meant):
    installed("tf-keras 2.21.0")
    installed("keras 3.15.1")
    if legacy is None:
        monkeypatch.delenv("TF_USE_LEGACY_KERAS", raising=False)
    else:
        monkeypatch.setenv("TF_USE_LEGACY_KERAS", legacy)
    found = by_subject(frameworks.examine_frameworks())
    assert f"`tf.keras` is {meant} here" in found["Keras"].detail
    assert not [finding for finding in found.values() if finding.status != "ok"]


def test_mix_ups_of_keras_and_of_runtimes(installed, monkeypatch):
    installed("ai-edge-litert 2.3.0")
    installed("tflite-runtime 2.14.0")
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "1")
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    found = by_subject(frameworks.examine_frameworks())
    assert found["TF_USE_LEGACY_KERAS"].status == "problem"
    assert found["KERAS_BACKEND"].status == "note"
    assert "tflite-runtime 2.14.0" in found["TFLite runtimes"].detail
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "yes")
    assert by_subject(frameworks.examine_frameworks())["TF_USE_LEGACY_KERAS"].status == "note"


@pytest.mark.parametrize(
    ("output", "code", "words"),
    [
        ('{"error": "tf_keras is absent"}', 0, "tf_keras is absent"),
        ("", -4, "ended with code -4: Illegal instruction"),
        (None, None, "timed out"),
    ],
)
def test_an_import_that_fails_is_a_problem(monkeypatch, output, code, words):
    def run(command, **options):
        if output is None:
            raise frameworks.subprocess.TimeoutExpired(command, 1)
        return frameworks.subprocess.CompletedProcess(command, code, output, "Illegal instruction\n")

    monkeypatch.setattr(frameworks.subprocess, "run", run)
    (found,) = frameworks.examine_import()
    assert found.status == "problem"
    assert words in found.detail


def test_a_tflite_file_runs_or_the_reason_is_given(monkeypatch):
    (found,) = interpreter.examine_interpreter()
    assert found.status == "ok", found.detail
    monkeypatch.setattr(interpreter, "_half_red", lambda: np.zeros((8, 8, 3), np.uint8))
    assert [finding.status for finding in interpreter.examine_interpreter()] == ["problem"]
    monkeypatch.setattr(interpreter, "SMALLEST", "__init__.py")
    (found,) = interpreter.examine_interpreter()
    assert "TFL3" in found.detail


def test_broken_and_blocked_plugins_are_told_apart(monkeypatch, tmp_path):
    folder = tmp_path / "registry_sad-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: registry-sad\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[registry.encoders]\nsad = registry_sad\n")
    (tmp_path / "registry_sad.py").write_text("raise RuntimeError('no licence found')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = by_subject(plugins.examine_plugins())
    assert found["plugins"].status == "ok"
    assert found["encoder sad"].status == "problem"
    assert "no licence found" in found["encoder sad"].detail
    assert "registry-sad" in found["encoder sad"].repair
    monkeypatch.setenv("ATROUS_BLOCK_PLUGINS", "sad")
    assert by_subject(plugins.examine_plugins())["encoder sad"].status == "note"


def test_a_preset_path_that_is_no_folder_is_a_problem(monkeypatch, tmp_path):
    monkeypatch.setenv("ATROUS_PRESET_PATH", str(tmp_path / "absent"))
    assert by_subject(plugins.examine_plugins())["presets"].status == "problem"


def test_caches_say_where_they_are_what_they_hold_and_whether_they_can_grow(monkeypatch, tmp_path):
    (tmp_path / "held" / "deep").mkdir(parents=True)
    (tmp_path / "held" / "deep" / "a").write_bytes(bytes(1500))
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("ATROUS_CACHE", str(tmp_path / "held"))
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "not" / "yet"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "file" / "hub"))
    found = by_subject(caches.examine_caches())
    assert "1.5 kB in it" in found["atrous"].detail
    assert "not there yet" in found["kaggle://"].detail
    assert found["hf://"].status == "note"
    monkeypatch.setenv("ATROUS_CACHE", str(tmp_path / "file"))
    assert by_subject(caches.examine_caches())["atrous"].status == "problem"


@pytest.mark.parametrize(("flags", "status"), [("sse4_2 avx avx2", "ok"), ("sse4_2", "problem")])
def test_a_processor_without_avx_cannot_import_tensorflow(monkeypatch, tmp_path, flags, status):
    (tmp_path / "cpuinfo").write_text(
        f"processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: fpu {flags}\n\nprocessor\t: 1\n"
    )
    monkeypatch.setattr(hardware, "_CPUS", tmp_path / "cpuinfo")
    monkeypatch.setattr(hardware.platform, "machine", lambda: "x86_64")
    found = by_subject(hardware.examine_hardware())
    assert "Some CPU" in found["CPU"].detail
    assert found["instruction sets"].status == status


def test_without_a_list_of_linux_numpy_tells_the_instruction_sets(monkeypatch, tmp_path):
    monkeypatch.setattr(hardware, "_CPUS", tmp_path / "absent")
    monkeypatch.setattr(hardware, "_MEMORY", tmp_path / "absent")
    found = by_subject(hardware.examine_hardware())
    assert found["instruction sets"].detail
    assert "memory" not in found


def test_the_whole_document_is_json_and_counts_its_problems(monkeypatch):
    finding = diagnosis.Finding(area="a", subject="b", status="problem", detail="c", repair="d")
    found = diagnosis.Diagnosis(findings=(finding,), versions={"atrous": "1"})
    assert not found.healthy
    assert str(found).splitlines() == ["a", "! b  c", "     repair: d", "", "1 problem found"]
    assert json.loads(json.dumps(found.to_dict()))["findings"][0]["repair"] == "d"
