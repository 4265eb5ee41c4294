import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import registry
from registry.errors import ModelError


@dataclass
class Report:
    path: Path

    def to_dict(self):
        return {"path": str(self.path)}

    def __str__(self):
        return f"report on {self.path}"


class Shape(tuple):
    def num_elements(self):
        return 7


@dataclass
class Variable:
    shape: Shape


class Model:
    """What `build` prints and saves, without the minute that a real one takes."""

    num_classes = 4
    input_shape = (None, None, None, 3)
    output_shape = (None, None, None, 4)
    pyramid_outputs = {"P2": Variable(Shape((None, None, None, 256)))}  # noqa: RUF012
    trainable_variables = (Variable(Shape((7,))), Variable(Shape((7,))))
    preset_config: Any = None

    def count_params(self):
        return 20

    def save(self, path):
        print("chatter of a library")
        Path(path).write_bytes(b"keras")


@pytest.fixture
def calls(monkeypatch):
    """Replaces building and exporting; records their arguments."""
    recorded = {}

    def build(preset, **arguments):
        recorded["build"] = (preset, arguments)
        print("chatter of a library")
        return Model()

    def load_model(path):
        recorded["load"] = path
        return Model()

    def export(model, path, **arguments):
        recorded["export"] = arguments
        Path(path).write_bytes(b"TFL3")
        return (
            [Report(path)] * len(arguments["size"]) if isinstance(arguments["size"], list) else Report(path)
        )

    def describe(preset, **overrides):
        recorded["describe"] = (preset, overrides)

    for replacement in (build, load_model, export, describe):
        monkeypatch.setattr(registry, replacement.__name__, replacement, raising=False)
    return recorded


def test_build_describes_the_model(run, calls):
    result = run("build", "some_preset")
    assert result.exit_code == 0
    assert calls["build"] == (
        "some_preset",
        {
            "weights": "default",
            "encoder_weights": "default",
            "num_classes": None,
            "image_shape": None,
            "lock": None,
        },
    )
    assert "20 (14 trainable)" in result.stdout
    assert "level P2       ? x ? x 256" in result.stdout
    assert "chatter" not in result.stdout
    assert "chatter" in result.stderr


@pytest.mark.parametrize("command", [("build", "no_such_preset"), ("export", "no_such_preset", "m.tflite")])
def test_a_wrong_preset_is_refused_before_anything_is_built(run, monkeypatch, command):
    monkeypatch.setattr(registry, "build", lambda *a, **k: pytest.fail("built"), raising=False)
    result = run(*command)
    assert result.exit_code == 1
    assert "no_such_preset" in result.stderr


def test_build_passes_its_options_on(run, calls):
    result = run(
        "build", "p", "--weights", "none", "--encoder-weights", "imagenet", "--num-classes", 4, "--image-shape", "32x64",
        "--set", "encoder.output_stride=8", "--set", "architecture.dilation_rates=[6, 12]",
        "--output", "m.keras", "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert calls["build"] == (
        "p",
        {
            "weights": None,
            "encoder_weights": "imagenet",
            "num_classes": 4,
            "image_shape": (32, 64, 3),
            "lock": None,
            "encoder.output_stride": 8,
            "architecture.dilation_rates": [6, 12],
        },
    )
    document = json.loads(result.stdout)
    assert document["output"] == "m.keras"
    assert document["parameters"] == 20
    assert document["levels"] == {"P2": {"shape": [None, None, None, 256]}}
    assert Path("m.keras").read_bytes() == b"keras"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--image-shape", "32x"),
        ("--image-shape", "0x4"),
        ("--num-classes", "many"),
        ("--set", "num_classes=3"),
        ("--set", "weights=none"),
        ("--set", "encoder_weights=imagenet"),
        ("--set", "image_shape=[1, 2, 3]"),
        ("--unknown",),
    ],
)
def test_build_refuses_a_wrong_command_line(run, calls, arguments):
    assert run("build", "p", *arguments).exit_code == 2
    assert not calls


@pytest.mark.parametrize("output", ["m.h5", "missing/m.keras", "."])
def test_build_checks_its_output_before_it_builds(run, calls, output):
    assert run("build", "p", "--output", output).exit_code == 1
    assert not calls


def test_export_builds_a_preset(run, calls):
    result = run("export", "p", "m.tflite", "--size", "64x96", "--weights", "none", "--set", "a.b=1")
    assert result.exit_code == 0, result.stderr
    assert calls["build"] == ("p", {"weights": None, "encoder_weights": "default", "lock": None, "a.b": 1})
    assert calls["export"]["size"] == (64, 96)
    assert result.stdout.startswith("report on m.tflite")
    assert json.loads(run("export", "p", "m.tflite", "--json").stdout) == {"path": "m.tflite"}
    assert run("export", "p", "m.tflite", "--size", "512").exit_code == 0
    assert calls["export"]["size"] == (512, 512)


def test_export_passes_the_mode_on(run, calls, tmp_path, monkeypatch):
    monkeypatch.setattr("registry.data.open_data", lambda source, **options: (source.split, options))
    options = "--quantization int8 --input-dtype int8 --output-kind mask --mask-before-upsampling"
    result = run(
        "export",
        "p",
        "m.tflite",
        *options.split(),
        "--calibration",
        str(tmp_path),
        "--calibration-limit",
        "9",
        *["--calibration-method", "mse", "--exclude", "a", "--exclude", "b_*"],
        *["--reader", "digits", "--split", "test", "--option", "count=3", "--limit", "2"],
    )
    assert result.exit_code == 0, result.stderr
    assert calls["export"] == {
        "size": None,
        "quantization": "int8",
        "calibration": tmp_path,
        "calibration_limit": 9,
        "calibration_method": "mse",
        "exclude": ("a", "b_*"),
        "annotated": ("test", {"num_classes": 4, "data_root": None}),
        "annotated_limit": 2,
        "input_dtype": "int8",
        "output": "mask",
        "mask_before_upsampling": True,
        "write_report": True,
        "progress": None,
    }
    assert "m.report.html" in result.stdout
    assert run("export", "p", "m.tflite", "--no-report").exit_code == 0
    assert calls["export"]["write_report"] is False
    assert run("export", "p", "m.tflite", "--quantization", "int9").exit_code == 2


def test_export_of_several_sizes(run, calls):
    result = run("export", "p", "m.tflite", "--size", "64", "--size", "64x96", "--json")
    assert calls["export"]["size"] == [(64, 64), (64, 96)]
    assert json.loads(result.stdout) == {"reports": [{"path": "m.tflite"}, {"path": "m.tflite"}]}


def test_the_modes_of_the_command_line_are_those_of_the_package():
    from registry.cli import models
    from registry.exporting import modes, rounding

    for name in ("Quantization", "InputDtype", "OutputKind"):
        assert getattr(models, name) == getattr(modes, name)
    assert models.CalibrationMethod == rounding.CalibrationMethod


def test_export_loads_a_saved_model(run, calls):
    assert run("export", "model.keras", "m.tflite").exit_code == 0
    assert calls["load"] == "model.keras"
    assert "build" not in calls
    assert run("export", "model.keras", "m.tflite", "--weights", "none").exit_code == 2
    assert run("export", "model.keras", "m.tflite", "--encoder-weights", "none").exit_code == 2
    assert run("export", "model.keras", "m.tflite", "--set", "a=1").exit_code == 2


@pytest.mark.parametrize("output", ["m.bin", "missing/m.tflite"])
def test_export_checks_its_output_before_it_builds(run, calls, output):
    assert run("export", "p", output).exit_code == 1
    assert not calls


# Exit codes


@pytest.mark.parametrize(
    ("failure", "code", "shown", "traceback"),
    [
        (ModelError("the rule", received=3, repair="the repair"), 1, "the repair", False),
        (ZeroDivisionError("oops"), 3, "defect", True),
        (KeyboardInterrupt(), 130, "interrupted", False),
    ],
)
def test_failures_have_their_exit_codes(run, calls, monkeypatch, failure, code, shown, traceback):
    def fail(*arguments, **options):
        raise failure

    monkeypatch.setattr(registry, "build", fail, raising=False)
    result = run("build", "p", "--json")
    assert result.exit_code == code
    assert result.stdout == ""
    assert shown in result.stderr
    assert ("Traceback" in result.stderr) is traceback


@pytest.mark.sweep
def test_a_preset_becomes_a_file_that_segments(process, photo):
    """The real way, small: build and save, export that, predict with it. By default the tutorial goes that way."""
    preset = "deeplab_v3_resnet50_os16_pascalvoc"
    common = ("--weights", "none", "--set", "encoder.variant=resnet_18", "--json")
    smaller = ("--num-classes", 3, "--set", "labels=[]", "--set", "encoder.options.multi_grid=[1, 2]")
    built = process("-m", "registry", "build", preset, *common, *smaller, "--output", "m.keras")
    assert built.returncode == 0, built.stderr
    summary = json.loads(built.stdout)
    assert summary["output_stride"] == 16
    assert summary["num_classes"] == 3
    assert summary["levels"]["P5"]["shape"][-1] == 512
    exported = process("-m", "registry", "export", "m.keras", "m.tflite", "--size", "64x96", "--json")
    assert exported.returncode == 0, exported.stderr
    assert json.loads(exported.stdout)["size_bytes"] > 1000
    predicted = process("-m", "registry", "predict", "m.tflite", photo, "--json")
    assert predicted.returncode == 0, predicted.stderr
    assert json.loads(predicted.stdout)["num_classes"] == 3
