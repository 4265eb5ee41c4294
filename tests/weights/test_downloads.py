"""Single files over HTTP(S), against a server on this machine: checked, cached, complete or not at all."""

import hashlib
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from registry.errors import WeightsFormatError, WeightsUnavailableError
from registry.weights import downloads
from registry.weights.downloads import cache_folder
from registry.weights.handles import fetch_file

CONTENT = bytes(range(256)) * 9000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests.append(self.path)
        if self.path.startswith("/redirect/"):
            self.send_response(302)
            self.send_header("Location", self.server.location)
            self.end_headers()
        elif self.path == "/absent.h5":
            self.send_error(404)
        else:
            cut = self.path == "/cut.h5"
            self.send_response(200)
            self.send_header("Content-Length", str(len(self.server.content)))
            self.end_headers()
            self.wfile.write(self.server.content[: 70_000 if cut else None])

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.requests, server.content, server.location = [], CONTENT, ""
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    monkeypatch.setenv("ATROUS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def files_below(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("fragment", "declared"),
    [
        (f"#sha256={SHA256}", False),
        (f"#sha256={SHA256.upper()}", True),
        (f"#md5={MD5}", True),
        ("", True),
    ],
)
def test_a_file_is_fetched_once(server, folders, fragment, declared):
    handle = f"{server.url}/models/a.h5{fragment}"
    path = fetch_file(handle, declared=declared)
    assert path.read_bytes() == CONTENT
    assert path.name == "a.h5"
    assert (folders / "cache") in path.parents
    assert fetch_file(handle, declared=declared) == path
    assert server.requests == ["/models/a.h5"]


@pytest.mark.parametrize("fragment", [f"#sha256={SHA256}", ""])
def test_a_damaged_file_in_the_cache_is_fetched_again(server, fragment):
    handle = f"{server.url}/a.h5{fragment}"
    path = fetch_file(handle, declared=True)
    path.write_bytes(CONTENT[:-1])
    assert fetch_file(handle, declared=True).read_bytes() == CONTENT
    assert len(server.requests) == 2


def test_equal_names_from_two_places_do_not_meet(server):
    first = fetch_file(f"{server.url}/one/a.h5", declared=True)
    server.content = CONTENT[::-1]
    second = fetch_file(f"{server.url}/two/a.h5", declared=True)
    assert first != second
    assert first.read_bytes() == second.read_bytes()[::-1] == CONTENT


def test_another_file_is_refused_and_not_kept(server, folders):
    server.content = CONTENT[::-1]
    with pytest.raises(WeightsFormatError, match="must have the stated sha256 hash") as caught:
        fetch_file(f"{server.url}/a.h5#sha256={SHA256}", declared=False)
    assert hashlib.sha256(server.content).hexdigest() in str(caught.value)
    assert files_below(folders) == []


def test_a_cut_body_is_refused_and_not_kept(server, folders):
    with pytest.raises(WeightsUnavailableError, match="70,000 of 2,304,000 bytes"):
        fetch_file(f"{server.url}/cut.h5", declared=True)
    assert files_below(folders) == []


def test_absent_and_unreachable(server, folders):
    with pytest.raises(WeightsUnavailableError, match="404") as caught:
        fetch_file(f"{server.url}/absent.h5", declared=True)
    assert str(folders / "cache") in str(caught.value)
    with pytest.raises(WeightsUnavailableError, match="weights=None"):
        fetch_file("http://127.0.0.1:9/a.h5", declared=True)
    assert files_below(folders) == []


def test_a_cache_that_cannot_be_written(server, folders):
    (folders / "cache").write_text("a file where a folder must be")
    with pytest.raises(WeightsUnavailableError, match="could not be fetched"):
        fetch_file(f"{server.url}/a.h5#sha256={SHA256}", declared=False)


@pytest.mark.parametrize("fragment", [f"#sha256={SHA256}", f"#md5={MD5}"])
def test_what_tf_keras_has_downloaded_serves(server, folders, fragment):
    models = folders / "keras" / "models"
    models.mkdir(parents=True)
    (models / "a.h5").write_bytes(CONTENT)
    assert fetch_file(f"{server.url}/a.h5{fragment}", declared=True) == models / "a.h5"
    assert server.requests == []


def test_what_tf_keras_has_under_the_name_of_another_file_does_not(server, folders):
    models = folders / "keras" / "models"
    models.mkdir(parents=True)
    (models / "a.h5").write_bytes(b"another")
    assert fetch_file(f"{server.url}/a.h5#md5={MD5}", declared=True).read_bytes() == CONTENT
    # Without a hash nothing tells whether it is the same file.
    assert fetch_file(f"{server.url}/a.h5", declared=True).read_bytes() == CONTENT


@pytest.mark.parametrize("fragment", ["", f"#md5={MD5}"])
def test_a_user_s_handle_states_a_sha256(server, fragment):
    with pytest.raises(WeightsUnavailableError, match="sha256sum"):
        fetch_file(f"{server.url}/a.h5{fragment}", declared=False)
    assert server.requests == []


@pytest.mark.parametrize(
    "handle",
    [
        "https://host/a.h5#sha256=12",
        f"https://host/a.h5#sha256={'g' * 64}",
        f"https://host/a.h5#sha1={'a' * 40}",
        "https://host/a.h5#",
        "https:///a.h5",
        "https://host/",
        "https://host",
        "https://host/..",
        "https://host/%2e%2e%2fsecret",
        "https://host/a b.h5",
        "https://[host/a.h5",
        "http://example.org/a.h5",
    ],
)
def test_malformed_handles_are_refused_before_anything_is_asked(handle):
    with pytest.raises(WeightsUnavailableError) as caught:
        fetch_file(handle, declared=True)
    assert handle in str(caught.value)


def test_redirects_stay_where_a_handle_may_point(server):
    server.location = f"{server.url}/a.h5"
    assert fetch_file(f"{server.url}/redirect/b.h5", declared=True).read_bytes() == CONTENT
    for location in ("http://example.org/a.h5", "ftp://example.org/a.h5", "file:///etc/passwd"):
        server.location = location
        with pytest.raises(WeightsUnavailableError, match="could not be fetched"):
            fetch_file(f"{server.url}/redirect/c.h5", declared=True)


def test_a_terminal_sees_progress_and_a_pipe_does_not(server, capsys, monkeypatch):
    fetch_file(f"{server.url}/quiet.h5", declared=True)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    fetch_file(f"{server.url}/shown.h5", declared=True)
    assert "shown.h5" in capsys.readouterr().err


def test_the_cache_s_place(monkeypatch, folders):
    assert cache_folder() == folders / "cache"
    monkeypatch.delenv("ATROUS_CACHE")
    assert cache_folder().name == "atrous"
    assert cache_folder().is_absolute()


def test_a_download_without_a_length_is_taken_as_it_ends(server, monkeypatch):
    original = Handler.send_header
    monkeypatch.setattr(
        Handler,
        "send_header",
        lambda self, name, value: None if name == "Content-Length" else original(self, name, value),
    )
    assert fetch_file(f"{server.url}/a.h5#sha256={SHA256}", declared=False).read_bytes() == CONTENT


def test_an_interrupted_download_leaves_nothing(server, folders, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(downloads, "_progress", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch_file(f"{server.url}/a.h5", declared=True)
    assert files_below(folders) == []
