import json

import pytest


def test_doctor_examines_this_environment(run):
    result = run("doctor", "--no-run", "--json")
    document = json.loads(result.stdout)
    assert result.exit_code == (0 if document["healthy"] else 1)
    assert document["versions"]["tensorflow"].startswith("2.21")
    assert {"packages", "frameworks", "plugins and presets", "caches", "hardware"} == {
        finding["area"] for finding in document["findings"]
    }
    assert {finding["status"] for finding in document["findings"]} <= {"ok", "note", "problem"}


def test_a_problem_is_shown_with_its_repair_and_ends_with_1(run, monkeypatch, tmp_path):
    monkeypatch.setenv("ATROUS_PRESET_PATH", str(tmp_path / "absent"))
    result = run("doctor", "--no-run")
    assert result.exit_code == 1
    assert "! presets" in result.stdout
    assert "repair: create the folder" in result.stdout


@pytest.mark.slow
def test_tensorflow_is_imported_by_a_child_only(process):
    code = (
        "import sys\n"
        "from registry.diagnosis.frameworks import examine_import\n"
        "found = list(examine_import())\n"
        "assert 'tensorflow' not in sys.modules\n"
        "print(*[f'{one.status} {one.subject}: {one.detail}' for one in found], sep='\\n')\n"
    )
    done = process("-c", code, TF_ENABLE_ONEDNN_OPTS="1")
    assert done.returncode == 0, done.stderr
    assert "ok TensorFlow: tensorflow 2.21" in done.stdout
    assert "ok oneDNN: on, with TF_ENABLE_ONEDNN_OPTS=1" in done.stdout
