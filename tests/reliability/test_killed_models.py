"""The same seed gives the same bytes, and a process that is killed leaves whole files."""

import json
import subprocess
import sys
from pathlib import Path


def test_a_seed_gives_the_same_bytes_and_a_killed_process_leaves_none_half(tmp_path):
    arguments = [sys.executable, str(Path(__file__).with_name("killed_models.py")), str(tmp_path), "1"]
    finished = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    result = json.loads(finished.stdout.splitlines()[-1])
    assert result["files"] == [
        "model/x.tflite",
        "saved/README.md",
        "saved/model.safetensors",
        "saved/preset.yaml",
    ]
    assert result["same"]
    assert result["killed"] == 1
    assert result["half_written"] == []
