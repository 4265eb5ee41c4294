"""Neither network nor cache: one error, which says how to go on; and what a cache has serves all the same."""

import json
import os
import subprocess
import sys

from test_hugging_face import COMMIT, PROGRAM

# A closed port as proxy: the network is unreachable, at once and on every machine.
PROXIES = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9")


def test_no_network(tmp_path):
    repository = tmp_path / "models--someone--net"
    (repository / "snapshots" / COMMIT).mkdir(parents=True)
    (repository / "snapshots" / COMMIT / "model.safetensors").write_bytes(b"content")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    wanted = {
        "kaggle://keras/deeplabv3plus/keras/x/4": "KAGGLEHUB_CACHE",
        "kaggle://keras/deeplabv3plus/keras/x": "KAGGLEHUB_CACHE",
        "hf://someone/absent": "HF_HUB_CACHE",
    }
    steps = [["fetch_preset", handle, {}] for handle in wanted]
    steps += [["fetch_file", "hf://someone/net/model.safetensors", {}]]
    done = subprocess.run(
        [sys.executable, str(PROGRAM), json.dumps(steps)],
        env={**os.environ, **PROXIES, "KAGGLEHUB_CACHE": str(tmp_path), "HF_HUB_CACHE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    *messages, model = json.loads(done.stdout.splitlines()[-1])
    for (handle, variable), message in zip(wanted.items(), messages, strict=True):
        assert message.startswith(f"WeightsUnavailableError: the weights at {handle} could not be fetched")
        for hint in ("weights=None", "path/to/preset_directory", variable):
            assert hint in message
    assert model.endswith("model.safetensors")
