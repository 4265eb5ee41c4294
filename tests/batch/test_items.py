import shutil

import pytest

from registry.batch.items import find_items
from registry.data.messages import encode_example
from registry.data.records import write_record
from registry.errors import DataError, OutputPathError


def keys(*sources, **options):
    return [item.key for item in find_items(sources, **options)]


def write_shard(path, *features):
    with path.open("wb") as stream:
        for one in features:
            write_record(stream, encode_example(one))


def test_folders_are_searched_to_their_depths_but_not_what_is_hidden(photos):
    assert keys(photos) == ["0", "1", "2", "deep/3", "deep/4", "deep/damaged"]
    assert keys(photos, leaving_out=photos / "deep") == ["0", "1", "2"]


def test_globs_keep_the_folders_after_their_first_wildcard(photos):
    assert keys(f"{photos}/**/*.png") == keys(photos)
    assert keys(f"{photos}/deep/[34].png") == ["3", "4"]


def test_an_image_that_two_sources_name_is_one(photos):
    assert keys(photos / "1.png", photos, photos / "2.png") == [
        "1",
        "0",
        "2",
        "deep/3",
        "deep/4",
        "deep/damaged",
    ]


def test_images_of_one_stem_keep_their_endings_and_others_of_one_name_are_refused(photos):
    shutil.copy(photos / "0.png", photos / "0.bmp")
    assert keys(photos)[:3] == ["0.bmp", "0.png", "1"]
    shutil.copytree(photos, photos.parent / "twin")
    with pytest.raises(OutputPathError, match="name of their own"):
        find_items([photos, photos.parent / "twin"])


def test_each_record_of_a_shard_is_an_image(photos, tmp_path):
    content = (photos / "1.png").read_bytes()
    write_shard(
        tmp_path / "a-00000-of-00001.tfrecord", {"image/encoded": content}, {"image/encoded": b"x"}, {"n": 1}
    )
    found = find_items([tmp_path / "a-00000-of-00001.tfrecord"])
    assert [item.key for item in found] == [f"a-00000-of-00001/{number:06}" for number in range(3)]
    assert found[0].read() == content
    with pytest.raises(DataError, match="image/encoded"):
        found[2].read()


@pytest.mark.parametrize("source", ["absent.png", "absent/*.png", "empty", "damaged.tfrecord"])
def test_a_source_without_images_is_an_error(tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "damaged.tfrecord").write_bytes(b"no record")
    with pytest.raises(DataError):
        find_items([source])
