"""What is in the cache, and how it is cleaned; what a part or a file that is being written has to fear: nothing."""

import os
import threading
import time

import pytest
from loopback import cut, stalled
from test_web import files_below

from registry.errors import OutputPathError, WeightsUnavailableError
from registry.stores import cleaning
from registry.stores.cache import Entry, cache_folder, files_folder
from registry.stores.cleaning import Selection, clean_cache
from registry.stores.inventory import list_cache, size_of
from registry.weights.handles import fetch_file

DAY = 86_400


@pytest.fixture
def filled(server, content):
    """Three files of 600,000, 60,000 and 6,000 bytes, last used 1, 10 and 100 days ago; and a part of a fourth."""
    server.files = {
        f"/{place}/{place}.h5": content[:size]
        for place, size in (("a", 600_000), ("b", 60_000), ("c", 6_000))
    }
    for number, path in enumerate(server.files):
        fetched = fetch_file(f"{server.url}{path}", declared=True)
        used = time.time() - 10**number * DAY
        os.utime(fetched.with_name(f".{fetched.name}.record"), (used, used))
    server.files["/d.h5"] = content
    server.faults += [cut(1000)] * 5
    with pytest.raises(WeightsUnavailableError):
        fetch_file(f"{server.url}/d.h5#sha256={'0' * 64}")
    return server


def names(files):
    return [file.name for file in files]


def test_every_file_is_listed_with_what_is_known(filled, content, sha256):
    d, a, b, c = list_cache()
    assert names([a, b, c, d]) == ["a.h5", "b.h5", "c.h5", "d.h5"]
    assert a.handle == f"{filled.url}/a/a.h5"
    assert a.sha256 == sha256
    assert (a.size, a.partial, a.complete) == (600_000, 0, True)
    assert a.path.read_bytes() == content
    assert time.time() - a.fetched < 60
    assert a.used == pytest.approx(time.time() - DAY, abs=60)
    assert d.handle == f"{filled.url}/d.h5"
    assert (d.size, d.partial, d.complete, d.sha256, d.fetched) == (0, 5000, False, None, None)


def test_asking_for_a_file_is_using_it(filled):
    fetch_file(f"{filled.url}/c/c.h5", declared=True)
    assert {file.name: time.time() - file.used < 60 for file in list_cache()}["c.h5"]


def test_an_empty_cache():
    assert list_cache() == []
    cleaned = clean_cache(Selection(everything=True))
    assert (cleaned.removed, cleaned.parts, cleaned.busy, cleaned.freed) == ((), (), (), 0)


def test_files_without_a_record_are_listed_and_cleaned(filled, folders):
    (record,) = folders.rglob(".b.h5.record")
    record.write_text("damaged")
    (listed,) = [file for file in list_cache() if file.name == "b.h5"]
    assert (listed.handle, listed.sha256, listed.fetched, listed.size) == (None, None, None, 60_000)
    assert "b.h5" in names(clean_cache(Selection(everything=True)).removed)
    assert files_below(files_folder()) == []


def test_what_is_not_ours_stays(filled, folders):
    stranger = files_folder() / "note.txt"
    stranger.write_text("mine")
    hidden = next(files_folder().glob("*/a.h5")).with_name(".hidden")
    hidden.write_text("mine")
    link = files_folder() / "link"
    link.symlink_to(folders)
    clean_cache(Selection(everything=True))
    assert files_below(files_folder()) == [".hidden", "note.txt"]
    assert link.is_symlink()


@pytest.mark.parametrize(
    ("selection", "removed"),
    [
        (Selection(), ""),
        (Selection(everything=True), "abc"),
        (Selection(unused_for=9 * DAY), "bc"),
        (Selection(unused_for=1000 * DAY), ""),
        (Selection(larger_than=60_000), "a"),
        (Selection(larger_than=59_999), "ab"),
        (Selection(unused_for=9 * DAY, larger_than=59_999), "b"),
        (Selection(handle="*/b/b.h5"), "b"),
        (Selection(handle="http://127.0.0.1:*/?/?.h5#sha256=x"), "abc"),
        (Selection(handle="https://*"), ""),
        (Selection(down_to=1_000_000), ""),
        (Selection(down_to=600_000), "bc"),
        (Selection(down_to=659_999), "bc"),
        (Selection(down_to=0), "abc"),
        (Selection(down_to=660_000, larger_than=59_999), "ab"),
    ],
)
def test_selections(filled, selection, removed):
    dry = clean_cache(selection, dry_run=True)
    before = files_below(files_folder())
    cleaned = clean_cache(selection)
    assert before != files_below(files_folder()), "the part always goes"
    for one in (dry, cleaned):
        assert sorted(names(one.removed)) == [f"{name}.h5" for name in removed]
        assert names(one.parts) == ["d.h5"]
    sizes = {"a": 600_000, "b": 60_000, "c": 6_000}
    assert dry.freed == 5000 + sum(sizes[name] for name in removed)
    assert cleaned.freed >= dry.freed
    left = [f"{name}.h5" for name in "abc" if name not in removed]
    assert [name for name in files_below(files_folder()) if not name.startswith(".")] == left
    assert sorted(names(list_cache())) == left
    assert len(list(files_folder().iterdir())) == len(left), "no empty folder is left"


def test_a_file_that_is_being_written_is_left_alone(server, handle, content):
    cleaned_up = threading.Event()
    server.faults.append(stalled(100_000, cleaned_up))
    thread = threading.Thread(target=fetch_file, args=(handle,))
    thread.start()
    while thread.is_alive() and not any(file.partial for file in list_cache()):
        time.sleep(0.001)
    cleaned = clean_cache(Selection(everything=True))
    cleaned_up.set()
    assert names(cleaned.busy) == ["a.h5"]
    assert cleaned.freed == 0
    thread.join()
    assert [byte_range for _, byte_range, _ in server.asked] == [None, "bytes=100000-"]
    (file,) = list_cache()
    assert file.path.read_bytes() == content


def test_fetching_and_cleaning_at_once(server, handle, content):
    """A file that vanishes between two looks at it, a folder that vanishes under a writer."""
    failures = []

    def clean():
        while thread.is_alive():
            try:
                clean_cache(Selection(everything=True))
            except OutputPathError as error:
                failures.append(error)

    def fetch():
        for _ in range(30):
            fetch_file(handle)

    thread = threading.Thread(target=fetch)
    thread.start()
    clean()
    thread.join()
    assert failures == []
    assert fetch_file(handle).read_bytes() == content


def test_strays_are_removed_by_the_next_writer(server, folders, handle):
    bare = handle.partition("#")[0]
    fetch_file(bare, declared=True)
    (path,) = folders.rglob("a.h5")
    stray = path.with_name(".a.h5.0123456789ab.stray")
    stray.write_bytes(bytes(10))
    assert list_cache()[0].partial == 10
    path.write_bytes(b"damaged")
    fetch_file(bare, declared=True)
    assert not stray.exists()


def test_names_that_look_like_parts_do_not_meet(content):
    """`.a.part.record` is the record of `a.part`, not something of `a`."""
    for name in ("a", "a.part", "a.record", "a.state", "a.0123456789ab.stray", "a.0123456789ab"):
        entry = Entry(files_folder() / "key", name)
        with entry.writing(kept=True) as (file, _):
            file.write(b"part of it")
        (files_folder() / "key" / name).write_bytes(b"whole")
    assert sorted(names(list_cache())) == sorted(
        ["a", "a.part", "a.record", "a.state", "a.0123456789ab.stray", "a.0123456789ab"]
    )
    assert {file.partial for file in list_cache()} == {10}
    with Entry(files_folder() / "key", "a").lock():
        Entry(files_folder() / "key", "a").remove()
    assert {file.partial for file in list_cache()} == {10}
    assert len(list_cache()) == 5


def test_cleaning_all_forgets_what_hubs_files_were(folders):
    note = cache_folder() / "seen" / "x.json"
    note.parent.mkdir(parents=True)
    note.write_text("{}")
    clean_cache(Selection())
    assert note.exists()
    cleaning.clean_cache(Selection(everything=True))
    assert not note.exists()


def test_the_size_of_a_folder(tmp_path):
    (tmp_path / "x" / "y").mkdir(parents=True)
    (tmp_path / "x" / "a").write_bytes(bytes(10))
    (tmp_path / "x" / "y" / "b").write_bytes(bytes(5))
    (tmp_path / "x" / "link").symlink_to("a")
    (tmp_path / "x" / "up").symlink_to("..")
    assert size_of(tmp_path / "x") == 15
    assert size_of(tmp_path / "absent") == 0
