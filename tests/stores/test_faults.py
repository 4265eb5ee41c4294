"""Everything that goes wrong on the way: the file is then absent, or complete and right, and the message says what to do."""

import errno
import hashlib
import json
import os
import shutil
import threading
from dataclasses import replace

import pytest
from loopback import cut, giving, stalled, status
from test_web import files_below

from registry.errors import WeightsError, WeightsFormatError, WeightsUnavailableError
from registry.stores import downloading, patience
from registry.weights.handles import fetch_file


def fetch_with(server, handle, *faults, declared=False):
    server.faults.extend(faults)
    return fetch_file(handle, declared=declared)


def refused(server, handle, *faults, declared=False, error=WeightsUnavailableError):
    """The message of the error that these faults end in; no file is there, whole or half."""
    with pytest.raises(error) as caught:
        fetch_with(server, handle, *faults, declared=declared)
    message = str(caught.value)
    assert handle in message
    assert "repair" in message
    return message


def requests(server):
    return [(byte_range, condition is not None) for _, byte_range, condition in server.asked]


# --- cut off, and taken up again


def test_a_cut_body_is_completed_from_where_it_ended(server, handle, content):
    assert fetch_with(server, handle, cut(100_000), cut(200_000)).read_bytes() == content
    assert requests(server) == [(None, False), ("bytes=100000-", True), ("bytes=300000-", True)]


def test_without_a_stated_hash_the_etag_decides(server, handle, content):
    bare = handle.partition("#")[0]
    assert fetch_with(server, bare, cut(100_000), declared=True).read_bytes() == content
    assert requests(server)[1] == ("bytes=100000-", True)
    for tag in (None, 'W/"weak"'):
        server.asked.clear()
        again = f"{bare}?{tag}".replace("/", "_", 0)
        faults = (cut(100_000, tag=tag), giving(tag=tag))
        assert fetch_with(server, again, *faults, declared=True).read_bytes() == content
        assert requests(server) == [(None, False), (None, False)], "nothing would tell a mixture"


def test_with_a_stated_hash_no_etag_is_needed(server, handle, content):
    assert fetch_with(server, handle, cut(100_000, tag=None), giving(tag=None)).read_bytes() == content
    assert requests(server)[1] == ("bytes=100000-", False)


def test_a_server_that_knows_no_ranges_starts_anew(server, handle, content):
    assert fetch_with(server, handle, cut(100_000), giving(ranges=False)).read_bytes() == content


def test_a_file_that_changes_meanwhile_is_taken_as_it_is_now(server, handle, content):
    bare = handle.partition("#")[0]
    other = content[::-1]

    def change(handler, old):
        server.files["/models/a.h5"] = other
        handler.give(old, most=100_000)

    assert fetch_with(server, bare, change, declared=True).read_bytes() == other
    assert requests(server) == [(None, False), ("bytes=100000-", True)]


def test_a_change_that_the_server_does_not_own_up_to(server, handle, content):
    """It gives a part of another file without being asked for one: the ETag tells, or the length does."""
    bare = handle.partition("#")[0]

    def lies(handler, old):
        handler.headers.replace_header("If-Range", f'"{hashlib.md5(old[::-1]).hexdigest()}"')
        handler.give(old[::-1])

    assert fetch_with(server, bare, cut(100_000), lies, declared=True).read_bytes() == content
    assert len(server.asked) == 3

    def shorter(handler, old):
        handler.give(old[:500_000], tag=handler.headers["If-Range"])

    assert fetch_with(server, f"{bare}?2", cut(100_000), shorter, declared=True).read_bytes() == content


def test_a_file_that_changes_all_the_time_is_given_up(server, handle, impatient, monkeypatch):
    monkeypatch.setattr(patience, "DEFAULT", replace(impatient, progress=1))

    def another_part(handler, old):
        wrong = handler.headers.get("If-Range", '"x"')[:-1] + 'x"'
        del handler.headers["If-Range"]
        handler.give(old, most=100_000, tag=wrong)

    message = refused(server, handle.partition("#")[0], *[another_part] * 40, declared=True)
    assert "changed while it was fetched" in message
    assert 4 <= len(server.asked) < 10


def test_a_mixture_is_fetched_anew_once(server, handle, content, sha256):
    """The two halves fit by ETag and length and not by their hash, so a third answer decides."""

    def wrong_half(handler, old):
        handler.give(old[:100_000] + bytes(len(old) - 100_000), tag=handler.headers["If-Range"])

    assert fetch_with(server, handle, cut(100_000), wrong_half).read_bytes() == content
    assert requests(server)[2] == (None, False)
    server.files["/models/b.h5"] = content[::-1]
    other = handle.replace("a.h5", "b.h5")
    refused(server, other, cut(100_000), wrong_half, error=WeightsFormatError)


def test_what_is_cut_off_for_good_is_told_and_kept_for_the_next_time(server, folders, handle, content):
    message = refused(server, handle, *[cut(10_000)] * 5)
    assert "the connection ended after 50,000 of 600,000 bytes" in message
    assert files_below(folders) == [".a.h5.part", ".a.h5.state"]
    assert fetch_file(handle).read_bytes() == content
    assert requests(server)[-1] == ("bytes=50000-", True)
    assert files_below(folders) == [".a.h5.record", "a.h5"]


def test_without_a_stated_hash_nothing_is_kept_for_the_next_time(server, folders, handle):
    refused(server, handle.partition("#")[0], *[cut(10_000)] * 5, declared=True)
    assert files_below(folders) == []


def test_progress_earns_new_attempts(server, handle, content, impatient, monkeypatch):
    monkeypatch.setattr(patience, "DEFAULT", replace(impatient, progress=30_000))
    assert fetch_with(server, handle, *[cut(30_000)] * 12).read_bytes() == content


@pytest.mark.parametrize(
    "damage",
    [
        lambda part, state: part.write_bytes(bytes(70_000)),
        lambda part, state: part.write_bytes(part.read_bytes() * 20),
        lambda part, state: part.write_bytes(part.read_bytes()[:-1] + b"\0"),
        lambda part, state: state.unlink(),
        lambda part, state: state.write_text("{"),
        lambda part, state: state.write_text(json.dumps({"place": "https://elsewhere/a.h5"})),
        lambda part, state: state.write_text(
            json.dumps({**json.loads(state.read_text()), "version": '"old"'})
        ),
        lambda part, state: state.write_text(json.dumps({**json.loads(state.read_text()), "size": -5})),
    ],
    ids=[
        "zeros",
        "too long",
        "a byte",
        "no state",
        "broken state",
        "other file",
        "other version",
        "negative",
    ],
)
def test_a_part_that_does_not_fit_is_not_believed(server, folders, handle, content, damage):
    refused(server, handle, *[cut(10_000)] * 5)
    (part,) = folders.rglob("*.part")
    damage(part, part.with_name(".a.h5.state"))
    assert fetch_file(handle).read_bytes() == content


def test_a_part_that_was_complete_is_checked_and_named(server, folders, handle, content):
    """Killed between the last byte and the new name."""
    refused(server, handle, *[cut(10_000)] * 5)
    (part,) = folders.rglob("*.part")
    part.write_bytes(content)
    server.asked.clear()
    assert fetch_file(handle).read_bytes() == content
    assert server.asked == []


# --- another file than was stated


def test_a_wrong_hash_is_refused_and_not_kept(server, folders, handle, content):
    server.files["/models/a.h5"] = content[::-1]
    message = refused(server, handle, error=WeightsFormatError)
    assert "must have the stated sha256 hash" in message
    assert hashlib.sha256(content[::-1]).hexdigest() in message
    assert files_below(folders) == []


def test_a_wrong_hash_leaves_the_file_that_was_there(server, handle, content):
    path = fetch_file(handle)
    server.files["/models/a.h5"] = content[::-1]
    other = handle.rpartition("=")[0] + "=" + "0" * 64
    refused(server, other, error=WeightsFormatError)
    assert path.read_bytes() == content


@pytest.mark.parametrize("length", [599_999, 1, 0])
def test_a_length_that_is_too_small_is_noticed_by_the_hash(server, folders, handle, length):
    refused(server, handle, giving(length=length), error=WeightsFormatError)
    assert files_below(folders) == []


def test_a_length_that_is_too_large_is_a_cut_body(server, handle, content):
    assert "ended after 600,000 of 700,000 bytes" in refused(server, handle, *[giving(length=700_000)] * 10)
    assert fetch_file(handle).read_bytes() == content


@pytest.mark.parametrize("length", ["many", "-5", "9" * 30])
def test_a_length_that_is_none(server, folders, handle, length):
    refused(server, handle, *[giving(length=length)] * 5)
    assert files_below(folders) == []


def test_a_file_beyond_all_measure_is_not_begun(server, folders, handle, monkeypatch):
    message = refused(server, handle, giving(length=20 << 30))
    assert "21,474,836,480 bytes are announced" in message
    monkeypatch.setattr(downloading, "LARGEST", 100_000)
    message = refused(server, handle.partition("#")[0], giving(length=None, tag=None), declared=True)
    assert "more than 100,000 bytes came" in message
    assert files_below(folders) == []


def test_a_compressed_answer_is_another_file(server, handle):
    message = refused(server, handle, *[status(200, Content_Encoding="gzip")] * 5)
    assert "sends the file as gzip" in message


def test_a_part_without_its_place(server, handle, content):
    assert fetch_with(server, handle, cut(100_000), status(206)).read_bytes() == content
    message = refused(server, f"{server.url}/b.h5", *[status(206)] * 5, declared=True)
    assert "does not say which" in message


# --- refused, busy, slow


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (404, "HTTP 404 Not Found"),
        (410, "HTTP 410 Gone"),
        (403, "HTTP 403 Forbidden: ~/.netrc"),
        (401, "netrc"),
        *((code, f"HTTP {code}") for code in (400, 451, 501, 599, 304)),
    ],
)
def test_a_server_that_refuses_is_asked_once(server, folders, handle, code, said):
    message = refused(server, handle, status(code))
    assert said in message
    assert str(folders / "cache") in message
    assert "weights=None" in message
    assert len(server.asked) == 1
    assert files_below(folders) == []


@pytest.mark.parametrize("code", [408, 425, 429, 500, 502, 503, 504])
def test_a_server_that_is_busy_is_asked_again(server, handle, content, code):
    assert fetch_with(server, handle, *[status(code)] * 4).read_bytes() == content
    assert len(server.asked) == 5


def test_a_server_that_stays_busy_is_left_alone(server, handle):
    assert "HTTP 500 Internal Server Error" in refused(server, handle, *[status(500)] * 9)
    assert len(server.asked) == 5


@pytest.fixture
def pauses(monkeypatch):
    """Seconds that were waited between attempts."""
    waited = []
    monkeypatch.setattr("time.sleep", waited.append)
    return waited


def test_retry_after_is_obeyed(server, handle, content, pauses):
    date = "Wed, 21 Oct 2015 07:28:00 GMT"
    faults = [status(429, Retry_After=text) for text in ("7", " 90 ", date, "soon")]
    assert fetch_with(server, handle, *faults).read_bytes() == content
    assert pauses[:2] == [7.0, 90.0]
    assert len(pauses) == 4
    assert max(pauses[2:]) < 1, "a date in the past, and nonsense"


def test_retry_after_has_a_limit(server, handle, pauses):
    message = refused(server, handle, status(503, Retry_After="86400"))
    assert "asks to wait for 86400 seconds" in message
    assert pauses == []


def test_pauses_grow_up_to_a_limit_and_differ(server, handle, pauses, monkeypatch):
    monkeypatch.setattr(patience, "DEFAULT", patience.Patience(attempts=12))
    refused(server, handle, *[status(500)] * 12)
    expected = [min(0.5 * 2**number, 30.0) for number in range(11)]
    assert all(0.5 * most <= pause <= most for pause, most in zip(pauses, expected, strict=True))
    assert len(set(pauses)) == len(pauses)


def test_a_server_that_falls_silent(server, handle, content, impatient, monkeypatch):
    # A busy machine may be silent for longer than that, too; then it is asked again.
    monkeypatch.setattr(patience, "DEFAULT", replace(impatient, read=0.7, attempts=20))
    done = threading.Event()
    try:
        assert fetch_with(server, handle, stalled(100_000, done)).read_bytes() == content
        assert any(byte_range for byte_range, _ in requests(server))
        monkeypatch.setattr(patience, "DEFAULT", replace(impatient, read=0.7, attempts=2))
        message = refused(server, f"{handle.partition('#')[0]}?2", *[stalled(9, done)] * 2, declared=True)
        assert "nothing came for too long" in message
    finally:
        done.set()


def test_a_trickle_is_given_up(server, handle, impatient, monkeypatch):
    monkeypatch.setattr(patience, "DEFAULT", replace(impatient, attempts=2, window=0.02, slowest=1e9))
    assert "bytes came in 0 seconds" in refused(server, handle, *[giving(pause=0.01)] * 2)


def test_nobody_there(handle, sha256):
    for address in ("http://127.0.0.1:9/a.h5", "https://127.0.0.1:9/a.h5"):
        with pytest.raises(WeightsUnavailableError, match=r"127\.0\.0\.1") as caught:
            fetch_file(f"{address}#sha256={sha256}")
        assert "weights=None" in str(caught.value)


def test_a_server_that_speaks_no_tls(server, sha256):
    with pytest.raises(WeightsUnavailableError, match="certificate"):
        fetch_file(f"https://127.0.0.1:{server.server_port}/a.h5#sha256={sha256}")


# --- the disk


def test_a_disk_that_is_too_small_is_noticed_before_anything_is_fetched(folders, handle, monkeypatch):
    usage = shutil.disk_usage(folders)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(WeightsUnavailableError, match="600,000 bytes, and 1,000 are free") as caught:
        fetch_file(handle)
    assert "atrous cache clean" in str(caught.value)
    assert files_below(folders) == []


def test_a_cache_that_is_a_file(folders, handle):
    (folders / "cache").write_text("a file where a folder must be")
    with pytest.raises(WeightsUnavailableError, match="the cache must be a folder") as caught:
        fetch_file(handle)
    assert "ATROUS_CACHE" in str(caught.value)


def test_a_disk_without_locks(server, handle, monkeypatch):
    def refuse(*arguments, **options):
        raise NotImplementedError("the file system has no flock")

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    assert "has no flock" in refused(server, handle)
    assert server.asked == []


@pytest.mark.parametrize("call", ["fsync", "replace", "open"])
def test_a_failing_system_call_leaves_nothing_under_the_name(folders, handle, content, monkeypatch, call):
    def fail(*arguments, **options):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        target = {
            "fsync": (os, "fsync"),
            "replace": (downloading.Path, "replace"),
            "open": (downloading.Path, "open"),
        }
        patched.setattr(*target[call], fail)
        with pytest.raises(WeightsError):
            fetch_file(handle)
    assert "a.h5" not in files_below(folders)
    assert fetch_file(handle).read_bytes() == content


def test_records_are_written_before_the_file_has_its_name(folders, handle, monkeypatch):
    """A file without a record would not be known to be intact; a record without a file is nothing."""
    seen = []
    original = downloading.Path.replace

    def replace_(path, target):
        seen.append(downloading.Path(target).name)
        return original(path, target)

    monkeypatch.setattr(downloading.Path, "replace", replace_)
    fetch_file(handle)
    assert seen == [".a.h5.state", ".a.h5.record", "a.h5"]
