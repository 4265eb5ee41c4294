"""`kaggle://` with the real kagglehub: from a prepared cache, and from an endpoint on this machine.

kagglehub knows a local environment, `http://localhost`, at port 80. A proxy on this machine answers for that address, so that
every line of the client is run and no port must be free.
"""

import base64
import hashlib
import json
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from loopback import Handler, Loopback, cut, status

from registry.errors import WeightsFormatError, WeightsUnavailableError
from registry.stores import FetchOptions
from registry.stores.cache import cache_folder
from registry.weights.handles import fetch_directory, fetch_file, is_file_handle, look, title_of

MODEL = "kaggle://someone/net/keras/small"
FILES = {"config.json": b"{}", "model.weights.h5": b"weights" * 40_000, "sub/a.txt": b"a"}


class Endpoint(Handler):
    """Kaggle's API as kagglehub asks it: a version's number, and files, which are given away by another address."""

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = urlsplit(self.path).path.rpartition("/")[2]
        self.server.calls.append((name, asked.get("path")))
        fault = self.server.busy.pop(0) if self.server.busy else None
        if fault is not None:
            fault(self, b"")
        elif name == "GetModelInstance":
            self.reply(200, {"versionNumber": self.server.newest})
        else:
            place = f"/{asked['versionNumber']}/{asked['path']}"
            found = place in self.server.files
            if found:
                self.send_response(302)
                self.send_header("Location", f"http://localhost{place}")
                self.send_header("Content-Length", "0")
                self.end_headers()
            else:
                self.reply(404, {"code": 404, "message": "no such file"})

    def do_GET(self):
        self.path = urlsplit(self.path).path
        super().do_GET()

    def headers_of(self, content):
        digest = base64.b64encode(hashlib.md5(content).digest()).decode()
        return {"x-goog-hash": f"crc32c=AAAAAA==,md5={digest}", "Accept-Ranges": "bytes"}

    def reply(self, code, document):
        body = json.dumps(document).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def kaggle(tmp_path, monkeypatch):
    """The endpoint, with two versions of a model; the client's cache is in `kagglehub`."""
    server = Loopback(Endpoint)
    server.calls, server.busy, server.newest = [], [], 2
    server.files = {f"/{version}/{name}": content for version in (1, 2) for name, content in FILES.items()}
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "LOCALHOST")
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "kagglehub"))
    monkeypatch.setenv("HOME", str(tmp_path))  # nobody's credentials
    # It looks at every frame of the call stack for libraries to name, at each request.
    monkeypatch.setattr("kagglehub.clients.get_user_agent", lambda: "kagglehub")
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, server.url)
    for name in ("no_proxy", "NO_PROXY", "KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY"):
        monkeypatch.delenv(name, raising=False)
    yield server
    server.stop()


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setenv("ATROUS_OFFLINE", "1")


def fetch(
    handle=f"{MODEL}/2",
    required=("config.json", "model.weights.h5|model.weights.json"),
    optional=("task.json",),
):
    return fetch_directory(handle, required=required, optional=optional)


def held(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_a_folder(kaggle, tmp_path):
    folder = fetch()
    assert folder == tmp_path / "kagglehub/models/someone/net/keras/small/2"
    assert held(folder) == {name: FILES[name] for name in ("config.json", "model.weights.h5")}
    assert fetch() == folder
    asked = [path for _, path in kaggle.calls]
    assert asked == ["config.json", "model.weights.h5", "task.json", "task.json"], (
        "only what is absent is asked for again"
    )


def test_the_second_of_two_alternatives(kaggle):
    assert held(fetch(required=["preset.yaml|config.json", "sub/a.txt"])) == {
        "config.json": b"{}",
        "sub/a.txt": b"a",
    }


def test_without_a_version_all_files_are_of_the_newest(kaggle):
    def published(handler, content):
        kaggle.newest = 3
        kaggle.files["/3/config.json"] = b"another"
        handler.give(content)

    kaggle.faults.append(published)
    assert fetch(MODEL).name == "2"
    assert [name for name, _ in kaggle.calls].count("GetModelInstance") == 1
    assert title_of(MODEL) == "net"


def test_a_single_file(kaggle):
    handle = f"{MODEL}/1/model.weights.h5"
    assert is_file_handle(handle)
    assert not is_file_handle(f"{MODEL}/1")
    content = FILES["model.weights.h5"]
    assert fetch_file(f"{handle}#sha256={hashlib.sha256(content).hexdigest()}").read_bytes() == content
    with pytest.raises(WeightsFormatError, match="stated md5"):
        fetch_file(f"{handle}#md5={'0' * 32}")
    assert fetch_file(f"{MODEL}/1/sub/a.txt").read_bytes() == b"a"


@pytest.mark.parametrize(
    "handle",
    ["a", "a/b/c", "a//c/d", "a/b/c/d/latest", "a/b/c/d/1/../x", "a/b/c/d/-1", "a/b/c/d/1/"],
)
def test_malformed_handles(handle):
    for call in (fetch, fetch_file):
        with pytest.raises(WeightsUnavailableError, match=r"kaggle://owner/model/framework/variation"):
            call(f"kaggle://{handle}")


def test_a_folder_is_no_file_and_has_no_hash(kaggle):
    with pytest.raises(WeightsUnavailableError, match="add the file's name"):
        fetch_file(f"{MODEL}/1")
    for handle in (f"{MODEL}/1/config.json", f"{MODEL}/1#sha256={'0' * 64}"):
        with pytest.raises(WeightsUnavailableError, match="a hash is that of a single file"):
            fetch(handle)


def test_busy_for_a_while(kaggle):
    kaggle.busy = [status(429, Retry_After="0"), status(500), status(503), None]
    assert held(fetch())["config.json"] == b"{}"


@pytest.mark.parametrize(("code", "said"), [(403, "403 Client Error"), (500, "500 Server Error")])
def test_refused_or_busy_for_good(kaggle, code, said, tmp_path):
    kaggle.busy = [status(code)] * 20
    with pytest.raises(WeightsUnavailableError, match=said) as caught:
        fetch()
    assert f"KAGGLEHUB_CACHE={tmp_path / 'kagglehub'}" in str(caught.value)
    assert len(kaggle.calls) == {403: 1, 500: 5}[code]


def test_absent(kaggle):
    with pytest.raises(WeightsUnavailableError, match=r"no such file|404"):
        fetch(required=["preset.yaml|absent.json"])


def test_cut_and_taken_up(kaggle):
    kaggle.faults += [None, cut(100_000)]
    assert held(fetch())["model.weights.h5"] == FILES["model.weights.h5"]
    assert any(byte_range for _, byte_range, _ in kaggle.asked), "from where its own last whole chunk ended"


def test_an_optional_file_that_fails_is_not_taken_for_absent(kaggle):
    kaggle.busy = [None, None, *[status(500)] * 20]
    with pytest.raises(WeightsUnavailableError, match="500"):
        fetch()
    kaggle.busy = []
    kaggle.files["/2/task.json"] = b"{}"
    assert "task.json" in held(fetch())


def test_without_network_what_the_cache_has_is_enough(kaggle, monkeypatch):
    folder = fetch()
    kaggle.busy = [status(500)] * 20
    assert fetch() == folder
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert fetch() == folder


def test_several_threads_fetch_once(kaggle):
    threads = [threading.Thread(target=fetch, kwargs={"optional": ()}) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [path for _, path in kaggle.calls] == ["config.json", "model.weights.h5"]


def test_a_file_that_changed_since_is_not_read(kaggle, tmp_path):
    path = fetch() / "model.weights.h5"
    path.write_bytes(b"damaged")
    with pytest.raises(WeightsFormatError, match="what it was when it was fetched first") as caught:
        fetch()
    assert f"{MODEL}/2/model.weights.h5" in str(caught.value)
    assert str(path) in str(caught.value)
    path.unlink()
    assert held(fetch())["model.weights.h5"] == FILES["model.weights.h5"]


def test_a_cache_of_ours_that_cannot_remember_serves(kaggle):
    folder = fetch()
    for note in (cache_folder() / "seen").iterdir():
        note.write_text("damaged")
    assert fetch() == folder


class TestOffline:
    def prepared(self, tmp_path, version, *names, bundle=False):
        """The client's cache as it leaves it: of files, or of all that a version holds."""
        base = tmp_path / "kagglehub/models/someone/net/keras/small"
        for name in names:
            (base / version).mkdir(parents=True, exist_ok=True)
            (base / version / name).write_bytes(FILES[name])
            mark = (
                base / f"{version}.complete" if bundle else base / ".complete" / version / f"{name}.complete"
            )
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()

    @pytest.mark.parametrize("bundle", [True, False])
    def test_a_prepared_cache_serves_without_the_client(self, kaggle, offline, tmp_path, monkeypatch, bundle):
        monkeypatch.setitem(sys.modules, "kagglehub", None)
        self.prepared(tmp_path, "2", "config.json", "model.weights.h5", bundle=bundle)
        assert set(held(fetch())) == {"config.json", "model.weights.h5"}
        assert kaggle.calls == []

    def test_the_newest_version_that_is_whole_stands_for_none(self, kaggle, offline, tmp_path):
        self.prepared(tmp_path, "9", "config.json", "model.weights.h5")
        self.prepared(tmp_path, "10", "config.json", "model.weights.h5")
        self.prepared(tmp_path, "11", "config.json")
        assert fetch(MODEL).name == "10"
        (found,) = look(MODEL, ["model.weights.h5"], FetchOptions())
        assert found.size == 280_000

    def test_what_is_missing_is_named(self, kaggle, offline, tmp_path):
        self.prepared(tmp_path, "2", "config.json")
        for handle in (f"{MODEL}/2", MODEL):
            with pytest.raises(WeightsUnavailableError, match="ATROUS_OFFLINE is set") as caught:
                fetch(handle)
            assert (
                "no model.weights.h5 or model.weights.json in KAGGLEHUB_CACHE=" in str(caught.value)
                or handle == MODEL
            )
            assert f"atrous fetch {handle}" in str(caught.value)
        assert kaggle.calls == []

    def test_a_file_without_its_mark_is_not_complete(self, kaggle, offline, tmp_path):
        self.prepared(tmp_path, "2", "config.json")
        (mark,) = (tmp_path / "kagglehub").rglob("config.json.complete")
        mark.unlink()
        with pytest.raises(WeightsUnavailableError, match=r"no config\.json"):
            fetch()


def test_the_client_is_needed_for_what_is_not_there(kaggle, monkeypatch):
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(ImportError, match=r"pip install 'atrous\[kaggle\]'"):
        fetch()


def test_the_cache_s_place(monkeypatch):
    from registry.weights.handles import foreign_caches

    monkeypatch.delenv("KAGGLEHUB_CACHE", raising=False)
    assert foreign_caches()["kaggle"].path == Path.home() / ".cache/kagglehub"
