"""`hf://` with the real huggingface_hub, against an endpoint on this machine that speaks the part of its API that is used."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from loopback import Handler, Loopback, cut, status

from registry.errors import WeightsUnavailableError
from registry.stores import FetchOptions
from registry.weights.handles import fetch_file, foreign_caches, look

PROGRAM = Path(__file__).with_name("steps.py")
COMMIT = "0123456789abcdef0123456789abcdef01234567"
WEIGHTS = bytes(range(256)) * 2000
FILES = {
    "config.json": b"{}",
    "model.weights.h5": WEIGHTS,
    "model_00000.weights.h5": b"a shard",
    "README.md": b"# net",
}


class Endpoint(Handler):
    """Of Hugging Face: information on a model, its tree, its files."""

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        self.server.asked.append((self.command, path, self.headers.get("Range")))
        if "refused" in path:
            status(403)(self, b"")
        elif path in ("/api/models/someone/net", "/api/models/someone/net/revision/main"):
            siblings = [{"rfilename": name, "size": len(content)} for name, content in FILES.items()]
            self.reply({"id": "someone/net", "modelId": "someone/net", "sha": COMMIT, "siblings": siblings})
        elif path.startswith("/api/models/someone/net/tree/"):
            self.reply(
                [
                    {
                        "type": "file",
                        "path": name,
                        "size": len(content),
                        "oid": hashlib.sha1(content).hexdigest(),
                    }
                    for name, content in FILES.items()
                ]
            )
        elif path.startswith("/someone/net/resolve/") and path.split("/", 5)[5] in FILES:
            self.resolve(path.split("/", 5)[5])
        else:
            self.send_response(404)
            self.send_header(
                "X-Error-Code", "EntryNotFound" if path.startswith("/someone/net/") else "RepoNotFound"
            )
            self.send_header("Content-Length", "0")
            self.end_headers()

    def resolve(self, name):
        content = FILES[name]
        # Large files are stored apart and called by their SHA-256, the others by a hash of git.
        large = name.endswith(".h5")
        tag = hashlib.sha256(content).hexdigest() if large else hashlib.sha1(content).hexdigest()
        fault = (
            self.server.faults.popleft() if large and self.command == "GET" and self.server.faults else None
        )
        if fault is not None:
            fault(self, content)
            return
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
        self.send_response(206 if start else 200)
        for key, value in {
            "X-Repo-Commit": COMMIT,
            "ETag": f'"{tag}"',
            "X-Linked-Etag": f'"{tag}"',
            "X-Linked-Size": str(len(content)),
            "Accept-Ranges": "bytes",
            "Content-Length": str(len(content) - start),
            "Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}",
        }.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content[start:])

    def reply(self, document):
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def hub():
    server = Loopback(Endpoint)
    yield server
    server.stop()


@pytest.fixture
def steps(hub, tmp_path):
    """Take steps in a process whose Hugging Face is on this machine."""

    def take(*steps, **environment):
        environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), **environment}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        done = subprocess.run(
            [sys.executable, str(PROGRAM), json.dumps(steps)],
            env={**inherited, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return take


NAMES = {"required": ["config.json", "model.weights.h5|model.weights.json"], "optional": ["task.json"]}
FOLDER = ("fetch_directory", "hf://someone/net", NAMES)
FILE = ("fetch_file", "hf://someone/net@main/model.weights.h5", {})


def test_folders_files_damage(hub, steps, tmp_path):
    hub.faults.append(cut(100_000))
    folder = tmp_path / "hf/hub/models--someone--net/snapshots" / COMMIT
    found, fetched, shard, file, wrong, absent, nobody, refused, _, kept, _, damaged, broken = steps(
        (
            "look",
            "hf://someone/net",
            ["config.json|preset.yaml", "model.weights.h5", "model_*.weights.h5"],
            {},
        ),
        FOLDER,
        ("fetch_file", f"hf://someone/net@{COMMIT}/model_00000.weights.h5", {}),
        FILE,
        ("fetch_file", f"hf://someone/net/model.weights.h5#sha256={'0' * 64}", {}),
        ("fetch_file", "hf://someone/net/absent.h5", {}),
        ("fetch_directory", "hf://someone/absent", NAMES),
        ("fetch_file", "hf://someone/net@refused/model.weights.h5", {}),
        ("set", "ATROUS_OFFLINE", "1"),
        FOLDER,
        ("write", str(folder / "model.weights.h5"), "damaged"),
        FILE,
        FOLDER,
    )
    assert found == [[name, len(FILES[name]), None] for name in FILES if name != "README.md"]
    assert Path(fetched) == folder == Path(kept), "offline, the cache serves"
    assert {path.name for path in folder.iterdir()} == {*FILES} - {"README.md"}
    assert Path(file) == folder / "model.weights.h5"
    assert Path(shard).read_bytes() == b"a shard"
    assert wrong.startswith("WeightsFormatError: the file at hf://someone/net/model.weights.h5#sha256=0000")
    for message, handle, said in (
        (absent, "hf://someone/net/absent.h5", "404"),
        (nobody, "hf://someone/absent", "RepositoryNotFoundError: 404"),
        (refused, "hf://someone/net@refused/model.weights.h5", "403"),
    ):
        assert message.startswith(f"WeightsUnavailableError: the weights at {handle} could not be fetched")
        assert said in message
        assert f"HF_HUB_CACHE={tmp_path / 'hf/hub'}" in message
    for message in (damaged, broken):
        assert message.startswith("WeightsFormatError: model.weights.h5 of hf://someone/net")
        assert "must have the hash that Hugging Face states" in message
        assert hashlib.sha256(WEIGHTS).hexdigest() in message


def test_offline_nothing_is_asked(hub, steps, tmp_path):
    """Not even for what the client asks besides."""
    _, folder, file, found = steps(
        ("set", "ATROUS_OFFLINE", "1"), FOLDER, FILE, ("look", "hf://someone/net", ["config.json"], {})
    )
    assert hub.asked == []
    assert found == []
    for message, missing in (
        (folder, "snapshot with config.json, model.weights.h5 or"),
        (file, "model.weights.h5"),
    ):
        assert message.startswith("WeightsUnavailableError: offline (ATROUS_OFFLINE is set)")
        assert f"no {missing}" in message
        assert f"HF_HUB_CACHE={tmp_path / 'hf/hub'}" in message
        assert "atrous fetch hf://someone/net" in message


def test_the_client_s_own_switch(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert look("hf://someone/net", ["config.json"], FetchOptions()) == []
    with pytest.raises(WeightsUnavailableError, match=r"offline \(HF_HUB_OFFLINE is set\)"):
        fetch_file("hf://someone/net/model.weights.h5")


def test_the_cache_s_place(monkeypatch, tmp_path):
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert foreign_caches()["hf"].path == Path.home() / ".cache/huggingface/hub"
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    assert foreign_caches()["hf"].path == tmp_path / "home/hub"
    monkeypatch.setenv("HF_HUB_CACHE", f"{tmp_path}/own")
    assert foreign_caches()["hf"].path == tmp_path / "own"
