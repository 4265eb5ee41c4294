import json
import shutil
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image

import registry
from registry.cli.evaluate import ProtocolName

RECIPE = """\
preset:
  encoder: {plugin: resnet, variant: resnet_50}
  architecture: {name: deeplab_v3}
  num_classes: 2
data:
  train: {reader: folder, root: photos}
  validation: {reader: folder, root: photos, split: val}
crop: [32, 32]
steps: 1
"""


@pytest.fixture
def folder(run, annotated_folder):
    """Its name in the working directory of `run`."""
    return annotated_folder.name


def scored(document):
    return {entry["name"]: entry["mean_iou"] for entry in document["images"]}


def test_a_file_on_a_folder_of_pairs(run, tiny_tflite, folder):
    result = run("evaluate", tiny_tflite, "--reader", "folder", "--root", folder, "--output", "report")
    assert result.exit_code == 0, result.stderr
    assert "mean IoU" in result.stdout
    assert "photos, 3 images" in result.stdout
    assert "class 1" in result.stdout
    assert "report/evaluation.html" in result.stderr
    document = json.loads(Path("report/evaluation.json").read_text())
    assert document["scores"]["pixels"] == 32 * (80 + 88 + 96)
    assert document["protocol"]["name"] == "stretched"
    assert document["worst"][0] == "c"
    assert {path.name for path in Path("report").iterdir()} == {
        "evaluation.json", "evaluation.html", "confusion_matrix.png", "worst_01.png", "worst_02.png", "worst_03.png",
    }  # fmt: skip


def test_json_is_the_evaluation(run, tiny_tflite, folder):
    result = run(
        "evaluate", tiny_tflite, "--reader", "folder", "--root", folder, "--split", "val", "--boundary-iou", "--json"
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert set(scored(document)) == {"a", "c"}
    assert scored(document)["a"] > 0.9
    assert scored(document)["c"] < 0.1
    assert document["scores"]["boundary_iou"] is not None
    limited = run("evaluate", tiny_tflite, "--reader", "folder", "--root", folder, "--limit", 1, "--json")
    assert set(scored(json.loads(limited.stdout))) == {"a"}


def test_the_images_of_a_recipe(run, tiny_tflite, folder):
    Path("recipe.yaml").write_text(RECIPE)
    result = run("evaluate", tiny_tflite, "--data", "recipe.yaml", "--json")
    assert result.exit_code == 0, result.stderr
    assert set(scored(json.loads(result.stdout))) == {"a", "c"}  # no test images: those of validation
    trained = run("evaluate", tiny_tflite, "--data", "recipe.yaml", "--part", "train", "--json")
    assert set(scored(json.loads(trained.stdout))) == {"a", "b", "c"}
    missing = run("evaluate", tiny_tflite, "--data", "recipe.yaml", "--part", "test")
    assert missing.exit_code == 1
    assert "'test' of recipe.yaml" in missing.stderr
    Path("recipe.yaml").write_text(
        "".join(line for line in RECIPE.splitlines(True) if "validation" not in line)
    )
    untested = run("evaluate", tiny_tflite, "--data", "recipe.yaml")
    assert untested.exit_code == 1
    assert "say --part train" in untested.stderr


def test_options_of_the_reader_are_those_of_a_recipe(run, tiny_tflite, folder):
    shutil.copytree(f"{folder}/images", "elsewhere/pictures")
    shutil.copytree(f"{folder}/masks", "elsewhere/labels")
    arguments = ("evaluate", tiny_tflite, "--reader", "folder", "--root", "elsewhere", "--json")
    result = run(
        *arguments, "--option", "images=pictures", "--option", "masks=labels", "--option", "ignore_label=0"
    )
    assert result.exit_code == 1
    assert "0…1 and the ignore label 0" in result.stderr  # 255 is no class then
    result = run(*arguments, "--option", "images=pictures", "--option", "masks=labels")
    assert result.exit_code == 0, result.stderr
    moved = ("evaluate", tiny_tflite, "--reader", "folder", "--root", folder, "--json")
    away = Path("away").resolve()
    shutil.move(folder, away / folder)
    assert run(*moved, "--data-root", away).exit_code == 0


def test_several_models_are_compared_on_the_same_images(run, tiny_tflite, folder):
    shutil.copy(tiny_tflite, "other.tflite")
    arguments = ("evaluate", tiny_tflite, "other.tflite", "--reader", "folder", "--root", folder)
    result = run(*arguments, "--output", "report", "--boundary-iou")
    assert result.exit_code == 0, result.stderr
    assert "+0.00 points" in result.stdout
    assert "boundary IoU" in result.stdout
    assert {path.name for path in Path("report").iterdir()} == {"tiny", "other"}
    assert Path("report/other/evaluation.html").is_file()
    documents = json.loads(run(*arguments, "--json").stdout)["evaluations"]
    assert [document["model"]["name"] for document in documents] == ["tiny.tflite", "other.tflite"]
    assert documents[0]["confusion_matrix"] == documents[1]["confusion_matrix"]
    same = run(
        "evaluate", tiny_tflite, tiny_tflite, "--reader", "folder", "--root", folder, "--output", "twice"
    )
    assert same.exit_code == 0, same.stderr
    assert {path.name for path in Path("twice").iterdir()} == {"1_tiny", "2_tiny"}


def test_windows_scales_and_flip(run, tiny_tflite, folder):
    result = run(
        "evaluate", tiny_tflite, "--reader", "folder", "--root", folder, "--protocol", "sliding", "--stride", "8x12",
        "--scales", "0.5,1", "--flip", "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["protocol"]["description"] == "sliding window 16×24, stride 8×12, scales 0.5, 1, flipped"
    assert document["scores"]["pixels"] == 32 * (80 + 88 + 96)


def test_a_preset_and_a_saved_model(run, folder, small_model, monkeypatch):
    """The command passes on what it is told; building and loading have tests of their own."""
    calls = []
    monkeypatch.setattr(
        registry, "build", lambda *args, **kwargs: calls.append((args, kwargs)) or small_model
    )
    monkeypatch.setattr(registry, "load_model", lambda path: calls.append(path) or small_model)
    for path in Path(folder, "masks").iterdir():
        Image.fromarray(np.asarray(Image.open(path)) % 251).save(path)  # 255 → 4
    Path("mine.yaml").write_text(
        "encoder: {plugin: resnet, variant: resnet_50}\narchitecture: {name: deeplab_v3}\nnum_classes: 4\n"
    )
    arguments = ("--reader", "folder", "--root", folder, "--json")
    result = run(
        "evaluate", "mine.yaml", "saved.keras", *arguments, "--weights", "none", "--set", "output_stride=16",
        "--option", "num_classes=5",
    )  # fmt: skip
    assert result.exit_code == 1
    assert "4 classes of the model, 5 of" in result.stderr
    assert calls == []  # before anything is built
    Path("mine.yaml").write_text(Path("mine.yaml").read_text().replace(": 4", ": 5"))
    result = run(
        "evaluate", "mine.yaml", "saved.keras", *arguments, "--weights", "none", "--set", "output_stride=16",
        "--size", "96x128",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert calls == [(("mine.yaml",), {"weights": None, "output_stride": 16}), "saved.keras"]
    first, second = json.loads(result.stdout)["evaluations"]
    assert first["protocol"] == second["protocol"]
    assert first["protocol"]["description"] == "whole image, padded to 96×128 at least"
    assert first["confusion_matrix"] == second["confusion_matrix"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "got neither"),
        (("--data", "x.yaml", "--reader", "folder"), 2, "got both"),
        (("--data", "x.yaml", "--root", "photos"), 2, "--root, --split and --option are for --reader"),
        (("--data", "absent.yaml"), 1, "absent.yaml"),
        (("--reader", "folder"), 2, "needs --root"),
        (("--reader", "fodler"), 2, "'folder'"),
        (("--reader", "folder", "--root", "photos", "--part", "train"), 2, "--part is for recipes"),
        (("--reader", "folder", "--root", "photos", "--option", "x"), 2, "--option needs KEY=VALUE"),
        (
            ("--reader", "folder", "--root", "photos", "--option", "num_classes=3"),
            1,
            "2 classes of tiny.tflite, 3 of",
        ),
        (("--reader", "folder", "--root", "nowhere"), 1, "nowhere"),
        (("--reader", "folder", "--root", "photos", "--scales", "a,b"), 2, "--scales needs numbers"),
        (("--reader", "folder", "--root", "photos", "--scales", "0.5,1"), 1, "protocol='sliding'"),
        (("--reader", "folder", "--root", "photos", "--protocol", "whole"), 1, "sliding"),
        (("--reader", "folder", "--root", "photos", "--window", "8"), 1, "sliding"),
        (("--reader", "folder", "--root", "photos", "--size", "64"), 1, "input size"),
        (("--reader", "folder", "--root", "photos", "--weights", "none"), 2, "are for presets"),
        (("--reader", "folder", "--root", "photos", "--output", "photos/val.txt"), 1, "one that can be made"),
    ],
    ids=str,
)
def test_what_is_wrong_is_told(run, tiny_tflite, folder, arguments, code, message):
    result = run("evaluate", tiny_tflite, *arguments)
    assert result.exit_code == code, result.stderr
    assert message in result.stderr.replace("\n", " ")
    assert result.stdout == ""


def test_the_command_names_the_protocols_that_there_are():
    from registry.evaluation import protocol

    assert get_args(ProtocolName) == get_args(protocol.ProtocolName)
