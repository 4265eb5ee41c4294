"""Single files over HTTP(S), against a server on this machine: checked, cached, complete or not at all."""

import hashlib
import sys

import pytest
from loopback import giving, status

from registry.errors import WeightsUnavailableError
from registry.stores import downloading
from registry.stores.cache import cache_folder
from registry.weights.handles import fetch_directory, fetch_file


def files_below(folder):
    """All but locks, which are empty and stay."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")


@pytest.mark.parametrize(
    ("algorithm", "declared"), [("sha256", False), ("sha256", True), ("md5", True), (None, True)]
)
def test_a_file_is_fetched_once(server, folders, handle, content, algorithm, declared):
    bare = handle.partition("#")[0]
    text = f"{bare}#{algorithm}={hashlib.new(algorithm, content).hexdigest().upper()}" if algorithm else bare
    path = fetch_file(text, declared=declared)
    assert path.read_bytes() == content
    assert path.name == "a.h5"
    assert (folders / "cache") in path.parents
    assert fetch_file(text, declared=declared) == path
    assert [asked[0] for asked in server.asked] == ["/models/a.h5"]
    assert files_below(folders) == [".a.h5.record", "a.h5"]


@pytest.mark.parametrize("stated", [True, False])
def test_a_damaged_file_in_the_cache_is_fetched_again(server, handle, content, stated):
    text = handle if stated else handle.partition("#")[0]
    path = fetch_file(text, declared=True)
    path.write_bytes(content[:-1])
    assert fetch_file(text, declared=True).read_bytes() == content
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    "damage", ["", "[]", "{}", "no JSON", '{"place": 1, "sha256": 2, "size": 3, "fetched": 4}']
)
def test_a_damaged_record_is_no_record(handle, content, damage):
    text = handle.partition("#")[0]
    path = fetch_file(text, declared=True)
    path.with_name(".a.h5.record").write_text(damage)
    assert fetch_file(text, declared=True).read_bytes() == content


def test_equal_names_from_two_places_do_not_meet(server, content):
    server.files = {"/one/a.h5": content, "/two/a.h5": content[::-1], "/get.h5": content}
    first = fetch_file(f"{server.url}/one/a.h5", declared=True)
    second = fetch_file(f"{server.url}/two/a.h5", declared=True)
    assert first != second
    assert first.read_bytes() == second.read_bytes()[::-1] == content
    # What is asked for is part of the place.
    assert len({fetch_file(f"{server.url}/get.h5?id={id}", declared=True) for id in "ab"}) == 2


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_what_tf_keras_has_downloaded_serves(server, folders, handle, content, algorithm):
    models = folders / "keras" / "models"
    models.mkdir(parents=True)
    (models / "a.h5").write_bytes(content)
    bare = handle.partition("#")[0]
    text = f"{bare}#{algorithm}={hashlib.new(algorithm, content).hexdigest()}"
    assert fetch_file(text, declared=True) == models / "a.h5"
    assert server.asked == []
    (models / "a.h5").write_bytes(b"another")
    assert fetch_file(text, declared=True).read_bytes() == content
    # Without a hash nothing tells whether it is the same file.
    assert fetch_file(bare, declared=True) != models / "a.h5"


@pytest.mark.parametrize("fragment", ["", f"#md5={'0' * 32}"])
def test_a_user_s_handle_states_a_sha256(server, fragment):
    with pytest.raises(WeightsUnavailableError, match="sha256sum"):
        fetch_file(f"{server.url}/a.h5{fragment}", declared=False)
    assert server.asked == []


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
        "https://host/.hidden",
        "https://host/%2e%2e%2fsecret",
        "https://host/a%00.h5",
        f"https://host/{'a' * 201}",
        "https://host/a b.h5",
        "https://[host/a.h5",
        "http://example.org/a.h5",
        "http://127.0.0.1.example.org/a.h5",
        "http://localhost.example.org/a.h5",
    ],
)
def test_malformed_handles_are_refused_before_anything_is_asked(handle):
    with pytest.raises(WeightsUnavailableError) as caught:
        fetch_file(handle, declared=True)
    assert handle in str(caught.value)


def test_a_password_in_a_handle_is_refused_and_not_repeated():
    with pytest.raises(WeightsUnavailableError, match="netrc") as caught:
        fetch_file(f"https://me:secret@host/a.h5#sha256={'0' * 64}")
    assert "secret" not in str(caught.value)


def test_a_server_has_no_folders(handle):
    with pytest.raises(WeightsUnavailableError, match="a preset is a folder"):
        fetch_directory(handle, required=["config.json"])


def test_redirects_stay_where_a_handle_may_point(server, handle, content):
    bare = handle.partition("#")[0]
    server.faults += [status(302, Location="/models/b.h5"), status(307, Location=bare)]
    assert fetch_file(f"{server.url}/c.h5", declared=True).read_bytes() == content
    assert [asked[0] for asked in server.asked] == ["/c.h5", "/models/b.h5", "/models/a.h5"]
    for location in (
        "http://example.org/a.h5",
        "ftp://example.org/a.h5",
        "file:///etc/passwd",
        "https://me:secret@example.org/a.h5",
        "https://[",
        "",
    ):
        server.faults.append(status(301, Location=location))
        with pytest.raises(WeightsUnavailableError, match=r"redirects|makes no sense"):
            fetch_file(f"{server.url}/d.h5", declared=True)
    server.faults += [status(302, Location="/d.h5")] * 20
    with pytest.raises(WeightsUnavailableError, match="more than 10 times"):
        fetch_file(f"{server.url}/d.h5", declared=True)


def test_this_machine_is_not_asked_through_a_proxy(handle, content, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert fetch_file(handle).read_bytes() == content


def test_another_machine_is_asked_through_the_proxy_of_the_environment(server, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", server.url)
    with pytest.raises(WeightsUnavailableError, match=r"(?i)proxy|tunnel"):
        fetch_file(f"https://example.org/a.h5#sha256={'0' * 64}")


def test_a_terminal_sees_progress_and_a_pipe_does_not(handle, capsys, monkeypatch):
    fetch_file(handle)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    fetch_file(handle.replace("/models/a.h5", "/models/a.h5?again"))
    assert "a.h5" in capsys.readouterr().err


def test_the_cache_s_place(monkeypatch, folders):
    assert cache_folder() == folders / "cache"
    monkeypatch.delenv("ATROUS_CACHE")
    assert cache_folder().name == "atrous"
    assert cache_folder().is_absolute()


def test_a_file_without_a_length_is_taken_as_it_ends(server, handle, content):
    server.faults.append(giving(length=None))
    assert fetch_file(handle).read_bytes() == content


def test_an_empty_file_is_a_file(server):
    server.files["/empty.h5"] = b""
    assert fetch_file(f"{server.url}/empty.h5#sha256={hashlib.sha256(b'').hexdigest()}").read_bytes() == b""


def test_an_interrupted_download_leaves_nothing_that_cannot_be_taken_up(folders, handle, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(downloading, "_write_all", interrupted)
    for text in (handle, handle.partition("#")[0]):
        with pytest.raises(KeyboardInterrupt):
            fetch_file(text, declared=True)
        assert files_below(folders) == []
