import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from registry.metadata import SegmenterMetadata, write_metadata
from registry.runtime import Segmenter


def test_predict_writes_mask_and_overlay_beside_nothing_else(run, tiny_tflite, photo, tmp_path):
    result = run("predict", tiny_tflite, photo)
    assert result.exit_code == 0, result.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"photo.jpg", "photo_mask.png", "photo_overlay.png"}
    with Image.open("photo_mask.png") as mask:
        assert mask.mode == "P"
        assert (np.asarray(mask) == Segmenter(tiny_tflite).predict(photo)).all()
    with Image.open("photo_overlay.png") as overlay:
        assert overlay.size == (80, 40)
        assert overlay.mode == "RGB"
    assert "80 x 40 pixels" in result.stdout
    assert "class 1" in result.stdout


def test_predict_json(run, tiny_tflite, photo):
    Path("labels.txt").write_text("grün\n\nrot\n", encoding="utf-8")
    result = run(
        "predict", tiny_tflite, photo, "--mask", "m.png", "--overlay", "o.jpg",
        "--labels", "labels.txt", "--threads", 1, "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    classes = document.pop("classes")
    assert document == {
        "model": str(tiny_tflite),
        "image": str(photo),
        "mask": "m.png",
        "overlay": "o.jpg",
        "height": 40,
        "width": 80,
        "num_classes": 2,
    }
    assert {entry["name"] for entry in classes} == {"grün", "rot"}
    assert sum(entry["pixels"] for entry in classes) == 40 * 80
    assert abs(sum(entry["fraction"] for entry in classes) - 1) < 1e-5
    assert Path("m.png").exists()
    with Image.open("o.jpg") as overlay:
        assert overlay.height > 40  # the legend


def test_names_and_colours_come_from_the_model(run, tiny_tflite, photo):
    metadata = SegmenterMetadata(labels=("green", "red"), colors=((1, 2, 3), (4, 5, 6)))
    Path("described.tflite").write_bytes(write_metadata(Path(tiny_tflite).read_bytes(), metadata))
    result = run("predict", "described.tflite", photo, "--json")
    assert result.exit_code == 0, result.stderr
    assert {entry["name"] for entry in json.loads(result.stdout)["classes"]} <= {"green", "red"}
    with Image.open("photo_mask.png") as mask:
        assert mask.getpalette()[:6] == [1, 2, 3, 4, 5, 6]
    Path("labels.txt").write_text("a\nb\n", encoding="utf-8")
    renamed = run("predict", "described.tflite", photo, "--labels", "labels.txt", "--json")
    assert {entry["name"] for entry in json.loads(renamed.stdout)["classes"]} <= {"a", "b"}


def test_labels_of_a_preset_bring_its_colours(run, tiny_tflite, photo):
    preset = (
        "encoder: {plugin: resnet, variant: resnet_50}\n"
        "architecture: {name: deeplab_v3}\n"
        "num_classes: 2\n"
        "labels: [{name: green, color: [1, 2, 3]}, {name: red, color: [4, 5, 6]}]\n"
    )
    Path("two.yaml").write_text(preset)
    result = run("predict", tiny_tflite, photo, "--labels", "two.yaml", "--json")
    assert result.exit_code == 0, result.stderr
    with Image.open("photo_mask.png") as mask:
        colors = {tuple(color) for color in np.asarray(mask.convert("RGB")).reshape(-1, 3).tolist()}
    assert colors == {(1, 2, 3), (4, 5, 6)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--labels", "deeplab_v3_plus_resnet50_pascalvoc"), "2 classes"),
        (("--labels", "no_such_preset"), "no_such_preset"),
        (("--labels", "photo.jpg"), "UTF-8"),
        (("--threads", "0"), "num_threads"),
        (("--size", "64"), "input size"),
        (("--mask", "photo_overlay.png"), "different files"),
        (("--overlay", "photo.jpg"), "different files"),
        (("--mask", "mask.jpg"), "end in .png"),
        (("--mask", "missing/mask.png"), "folder of the output"),
    ],
)
def test_wrong_input_is_explained_and_nothing_is_written(
    run, tiny_tflite, photo, tmp_path, arguments, message
):
    before = photo.read_bytes()
    result = run("predict", tiny_tflite, photo, *arguments, "--json")
    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]
    assert photo.read_bytes() == before


def test_damaged_images_and_models_are_wrong_input(run, tiny_tflite, photo, tmp_path):
    Path("damaged.jpg").write_bytes(photo.read_bytes()[:300])
    Path("damaged.tflite").write_bytes(tiny_tflite.read_bytes()[:200])
    for model, image in [
        (tiny_tflite, "damaged.jpg"),
        (tiny_tflite, "absent.jpg"),
        ("damaged.tflite", photo),
        ("absent.tflite", photo),
        (photo, photo),
    ]:
        result = run("predict", model, image)
        assert result.exit_code == 1, result.stderr
        assert "Traceback" not in result.stderr
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".png"]


@pytest.mark.parametrize("size", ["x", "12x", "0", "-3", "1x2x3", "512.0"])
def test_a_malformed_size_is_a_usage_error(run, tiny_tflite, photo, size):
    assert run("predict", tiny_tflite, photo, f"--size={size}").exit_code == 2


def test_many_images_go_into_a_folder_and_failures_are_told_at_the_end(run, tiny_tflite, photo, tmp_path):
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.jpg").write_bytes(photo.read_bytes())
    (folder / "deep" / "b.jpg").write_bytes(photo.read_bytes()[:300])
    result = run("predict", tiny_tflite, "photos", photo, "--output", "masks", "--no-overlays", "--json")
    assert result.exit_code == 1, result.stderr
    document = json.loads(result.stdout)
    assert (document["images"], document["segmented"], document["skipped"]) == (3, 2, 0)
    assert [Path(one["source"]).name for one in document["failed"]] == ["b.jpg"]
    assert sorted(path.name for path in (tmp_path / "masks").iterdir()) == [
        "a_mask.png", "photo_mask.png", "predictions.jsonl", "run.json",
    ]  # fmt: skip
    (folder / "deep" / "b.jpg").write_bytes(photo.read_bytes())
    again = run("predict", tiny_tflite, "photos", photo, "--output", "masks", "--no-overlays")
    assert again.exit_code == 0, again.stderr
    assert "1 segmented" in again.stdout
    assert "2 finished before" in again.stdout
    mixed = run("predict", tiny_tflite, "photos", "--output", "masks")
    assert mixed.exit_code == 1
    assert "--restart" in mixed.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("photo.jpg", "other.jpg"),
        (".",),
        ("a.tfrecord",),
        ("photo.jpg", "--workers", "2"),
        ("photo.jpg", "--restart"),
        ("photo.jpg", "--output", "masks", "--mask", "m.png"),
    ],
)
def test_what_needs_a_folder_for_results_and_what_does_not(run, tiny_tflite, photo, arguments):
    assert run("predict", tiny_tflite, *arguments).exit_code == 2
