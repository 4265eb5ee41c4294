"""`atrous data check | pack`."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from small_networks import SMALL_PRESET

from registry.data import folder_pairs, tfrecord

CLASSES = SMALL_PRESET["num_classes"]


@pytest.fixture
def images(tmp_path):
    """A folder of four annotated images, `a` and `b` in train.txt, `c` and `d` in val.txt."""
    root = tmp_path / "mine"
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for number, name in enumerate("abcd"):
        random = np.random.default_rng(number)
        pixels = random.integers(0, 256, (40, 48, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / "images" / f"{name}.png")
        Image.fromarray(np.resize(np.arange(CLASSES, dtype=np.uint8), (40, 48))).save(
            root / "masks" / f"{name}.png"
        )
    (root / "train.txt").write_text("a\nb\n")
    (root / "val.txt").write_text("c\nd\n")
    return root


@pytest.fixture
def recipe(images, tmp_path):
    path = tmp_path / "recipe.yaml"
    preset = {**copy.deepcopy(SMALL_PRESET), "labels": labels()}
    data = {
        part: {"reader": "folder", "root": "mine", "split": split}
        for part, split in (("train", "train"), ("validation", "val"))
    }
    path.write_text(yaml.safe_dump({"preset": preset, "crop": [32, 32], "steps": 1, "data": data}))
    return path


def labels():
    return [{"name": f"kind {number}", "color": [number * 40, 0, 200]} for number in range(CLASSES)]


def test_check_of_a_recipe(run, recipe):
    result = run("data", "check", recipe, "--output", "checked", "--json")
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert list(document["parts"]) == ["train", "validation"]
    train = document["parts"]["train"]
    assert (train["total"], train["errors"], train["notes"]) == (2, [], [])
    assert [entry["name"] for entry in train["classes"]] == [f"kind {number}" for number in range(CLASSES)]
    assert sum(entry["pixels"] for entry in train["classes"]) == 2 * 40 * 48
    assert len(train["class_weights"]) == CLASSES
    assert document["files"] == ["checked/train.png", "checked/validation.png", "checked/report.json"]
    written = json.loads(Path("checked/report.json").read_text(encoding="utf-8"))
    assert written == {key: document[key] for key in ("parts", "shared")}
    with Image.open("checked/train.png") as sheet:
        assert (np.asarray(sheet) == (CLASSES * 40 - 40, 0, 200)).all(-1).any()


def test_check_of_one_part_for_people(run, recipe):
    result = run("data", "check", recipe, "--part", "validation")
    assert result.exit_code == 0
    assert result.stdout.startswith("validation\ndata      mine val, 2 images")
    assert "kind 1" in result.stdout
    assert result.stdout.endswith("0 errors, 0 notes\n")


def test_errors_end_in_exit_code_1_and_are_all_listed(run, recipe, images):
    (images / "images" / "a.png").write_bytes(b"broken")
    Image.fromarray(np.full((40, 48), CLASSES, np.uint8)).save(images / "masks" / "d.png")
    result = run("data", "check", recipe)
    assert result.exit_code == 1
    assert "unreadable image (1)\n    a: " in result.stdout
    assert f"{CLASSES} (1,920 pixels)" in result.stdout
    assert "Traceback" not in result.stderr


def test_an_image_of_training_in_validation_is_an_error(run, recipe, images):
    (images / "images" / "c.png").write_bytes((images / "images" / "b.png").read_bytes())
    result = run("data", "check", recipe)
    assert result.exit_code == 1
    assert (
        "errors between parts\n  image of train in validation (1)\n    b: is c of validation" in result.stdout
    )
    shared = json.loads(run("data", "check", recipe, "--json").stdout)["shared"]
    assert shared["errors"][0]["name"] == "b"


def test_check_by_reader(run, images):
    (images / "names.txt").write_text("\n".join(f"name {number}" for number in range(CLASSES)))
    command = ("data", "check", "--reader", "folder", "--root", "mine", "--option", f"num_classes={CLASSES}")
    result = run(*command, "--limit", "2", "--labels", "mine/names.txt", "--json")
    assert result.exit_code == 0, result.stderr
    (part,) = json.loads(result.stdout)["parts"].values()
    assert (part["checked"], part["total"]) == (2, 4)
    assert part["classes"][0]["name"] == "name 0"
    assert (
        run("data", "check", "--reader", "folder", "--root", "mine").exit_code == 1
    )  # num_classes is missing
    assert run("data", "check", "--reader", "folder").exit_code == 2
    assert run("data", "check").exit_code == 2
    assert run(*command, "--limit", "0").exit_code == 2


def test_pack_a_recipe_and_train_from_the_shards(run, recipe, images):
    result = run("data", "pack", recipe, "--output", "shards", "--shards", "2", "--json")
    assert result.exit_code == 0, result.stderr
    parts = json.loads(result.stdout)["parts"]
    assert {name: entry["images"] for name, entry in parts.items()} == {"train": 2, "validation": 2}
    assert parts["train"]["files"] == [f"shards/train-0000{number}-of-00002.tfrecord" for number in range(2)]
    before = folder_pairs(images, "train", num_classes=CLASSES)
    after = tfrecord(Path("shards"), pattern="train-*", num_classes=CLASSES)
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.mask, other.mask)


def test_pack_by_reader_says_how_to_read_it(run, images):
    source = ("--reader", "folder", "--root", "mine", "--split", "val", "--option", f"num_classes={CLASSES}")
    result = run("data", "pack", *source, "--output", "shards")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == "val: 2 images in shards/val-*-of-00001.tfrecord\n"
    section = yaml.safe_load(result.stderr)
    assert section == {
        "reader": "tfrecord",
        "root": "shards",
        "pattern": "val-*",
        "num_classes": CLASSES,
        "ignore_label": 255,
    }
    options = [f"--option={key}={value}" for key, value in section.items() if key not in ("reader", "root")]
    again = run("data", "check", "--reader", "tfrecord", "--root", "shards", *options)
    assert again.exit_code == 0, again.stderr
    named = run("data", "pack", *source, "--output", "shards", "--name", "mine")
    assert "shards/mine-*-of-00001.tfrecord" in named.stdout


def test_what_cannot_be_packed(run, recipe, images):
    assert run("data", "pack", recipe, "--output", "shards", "--name", "one").exit_code == 2
    assert run("data", "pack", recipe).exit_code == 2
    (images / "masks" / "b.png").write_bytes(b"broken")
    result = run("data", "pack", recipe, "--output", "shards")
    assert result.exit_code == 1
    assert "b.png" in result.stderr
    assert list(Path("shards").iterdir()) == []
    Path("file").write_text("")
    assert run("data", "pack", recipe, "--output", "file/shards").exit_code == 1


@pytest.mark.parametrize("command", ["check", "pack"])
def test_help_has_examples_and_documents_json(run, command):
    text = run("data", command, "--help").stdout
    assert f"atrous data {command}" in text.split("Example", 1)[1]
    assert "With --json" in text
    assert f"\n  {command} " in run("data", "--help").stdout


def test_debug_shows_the_traceback(run, images):
    command = ("data", "check", "--reader", "folder", "--root", "nowhere", "--option", "num_classes=2")
    assert "Traceback" not in run(*command).stderr
    assert "Traceback" in run("--debug", *command).stderr


def test_a_check_takes_no_tensorflow(process, images):
    code = (
        "import sys\n"
        "from registry.cli import main\n"
        f"sys.argv = ['atrous', 'data', 'check', '--reader', 'folder', '--root', {str(images)!r}, "
        f"'--option', 'num_classes={CLASSES}']\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        "assert not {'tensorflow', 'tf_keras', 'keras'} & {name.split('.')[0] for name in sys.modules}\n"
    )
    done = process("-c", code)
    assert done.returncode == 0, done.stderr
