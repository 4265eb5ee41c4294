"""Runs as a whole: what they leave, what they refuse, and that an interruption changes nothing."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import registry
from registry.data import Example
from registry.errors import ModelError, OutputPathError, TrainingError, WeightsError


def weights_of(run):
    return [variable.numpy() for variable in registry.build(run.preset).weights]


@pytest.mark.sweep
def test_an_interrupted_run_ends_as_one_that_was_not(recipe, tmp_path, interrupt):
    whole = registry.train(recipe, tmp_path / "whole", progress=False)
    interrupt(1)
    with pytest.raises(KeyboardInterrupt):
        registry.train(recipe, tmp_path / "parts", progress=False)
    interrupt(3)
    with pytest.raises(KeyboardInterrupt):
        registry.train(recipe, tmp_path / "parts", progress=False)
    interrupt(-1)
    parts = registry.train(recipe, tmp_path / "parts", progress=False)
    assert parts.to_dict() == whole.to_dict()
    assert parts.history == whole.history
    for ours, theirs in zip(weights_of(parts), weights_of(whole), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_what_a_run_leaves(recipe, tmp_path):
    reports = []
    recipe["data"]["test"] = {"reader": "digits", "split": "test", "count": 2, "size": [64, 64]}
    run = registry.train(recipe, tmp_path / "run", progress=lambda *report: reports.append(report))
    assert [step for step, _, _ in reports if step == 6]
    assert all(steps == 6 for _, steps, _ in reports)
    assert run.steps == 6
    assert run.best_step in (3, 6)
    scored = [entry["mean_iou"] for entry in run.history if "mean_iou" in entry]
    assert len(scored) == 2
    assert run.mean_iou == max(scored)
    folder = tmp_path / "run"
    # The recipe is complete, and the same run.
    again = registry.train(folder / "recipe.yaml", folder)
    assert again.to_dict() == run.to_dict()
    assert json.loads((folder / "run.json").read_text())["mean_iou"] == run.mean_iou
    with Image.open(folder / "pictures" / "step_000003.png") as picture:
        assert picture.width == 3 * 64 + 2 * 4
    config = registry.describe(run.preset).config
    assert [entry.mean_iou for entry in config.evaluation] == pytest.approx(
        [run.mean_iou, run.test.mean_iou], abs=1e-4
    )
    assert (folder / "evaluation" / "evaluation.json").is_file()
    assert list((folder / "tensorboard").iterdir())


def test_a_folder_belongs_to_one_recipe(recipe, tmp_path):
    recipe.update(steps=1, validation={"pictures": 0})
    del recipe["data"]["validation"]
    registry.train(recipe, tmp_path, progress=False)
    recipe["learning_rate"]["peak"] = 0.02
    recipe["checkpoints"] = {"keep": 1}
    with pytest.raises(TrainingError, match=r"received: learning_rate.peak: 0.01 → 0.02"):
        registry.train(recipe, tmp_path)
    run = registry.train(recipe, tmp_path, restart=True, progress=False)
    assert yaml.safe_load((tmp_path / "recipe.yaml").read_text())["learning_rate"]["peak"] == 0.02
    assert run.mean_iou is None
    assert run.best_step == 1


def test_a_recipe_that_could_not_start_may_be_mended(recipe, tmp_path):
    recipe.update(steps=1, weights=str(tmp_path / "absent.safetensors"))
    del recipe["data"]["validation"]
    with pytest.raises(WeightsError):
        registry.train(recipe, tmp_path / "run")
    recipe["weights"] = None
    registry.train(recipe, tmp_path / "run", progress=False)
    assert yaml.safe_load((tmp_path / "run" / "recipe.yaml").read_text())["weights"] is None


def test_a_folder_of_something_else_is_left_alone(recipe, tmp_path):
    (tmp_path / "thesis.tex").write_text("…")
    with pytest.raises(OutputPathError, match=r"thesis.tex"):
        registry.train(recipe, tmp_path, restart=True)
    assert (tmp_path / "thesis.tex").read_text() == "…"


class Noise:
    """A data set of chance, on which nothing can be learnt for long."""

    name, num_classes, ignore_label, labels = "noise", 11, 255, ()

    def __len__(self):
        return 4

    def __getitem__(self, index):
        rng = np.random.default_rng(index)
        return Example(
            str(index),
            rng.integers(0, 256, (64, 64, 3), dtype=np.uint8),
            rng.integers(0, 11, (64, 64), dtype=np.uint8),
        )


def test_a_run_that_no_longer_gets_better_ends(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr("registry.training.run.open_data", lambda *args, **options: Noise())
    recipe.update(
        steps=50,
        learning_rate={"peak": 1e-7},
        validation={"every": 1, "pictures": 0},
        early_stopping={"patience": 2, "min_delta": 0.5},
    )
    run = registry.train(recipe, tmp_path, progress=False)
    assert run.stopped_early
    assert run.steps == 3


def test_a_loss_that_is_no_number_ends_the_run(recipe, tmp_path):
    recipe["learning_rate"] = {"peak": 1e30, "shape": "constant"}
    with pytest.raises(TrainingError, match="must stay finite"):
        registry.train(recipe, tmp_path, progress=False)
    assert not (tmp_path / "run.json").exists()


def test_parts_that_do_not_fit_are_refused(recipe, tmp_path):
    with pytest.raises(ModelError, match=r"multiple of 16"):
        registry.train({**recipe, "crop": [64, 72]}, tmp_path / "a", progress=False)
    with pytest.raises(TrainingError, match=r"names devices of this machine\n  received: GPU:7"):
        registry.train(
            {**recipe, "distribution": {"strategy": "mirrored", "devices": ["GPU:7"]}}, tmp_path / "b"
        )
    with pytest.raises(TrainingError, match="TF_CONFIG"):
        registry.train({**recipe, "distribution": {"strategy": "multi_worker"}}, tmp_path / "c")
    assert not (tmp_path / "c").exists()


@pytest.mark.slow
@pytest.mark.parametrize("kills", [1, pytest.param(5, marks=pytest.mark.sweep)])
def test_a_run_killed_several_times_ends_as_one_that_was_not(recipe, tmp_path, kills):
    recipe.update(steps=30, checkpoints={"every": 1}, validation={"every": 4, "pictures": 1})
    script, file = Path(__file__).with_name("killed_run.py"), tmp_path / "recipe.json"
    file.write_text(json.dumps(recipe))
    done = subprocess.run(
        [sys.executable, script, file, tmp_path / "parts", str(kills), "0"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    children = [json.loads(line) for line in done.stdout.splitlines()]
    assert [child["killed"] for child in children] == [True] * kills
    assert "step-30" not in children[-1]["checkpoints"]
    whole = registry.train(recipe, tmp_path / "whole", progress=False)
    parts = registry.train(recipe, tmp_path / "parts", progress=False)  # finished: only read
    assert parts.to_dict() == whole.to_dict()
    assert parts.history == whole.history
    for ours, theirs in zip(weights_of(parts), weights_of(whole), strict=True):
        np.testing.assert_array_equal(ours, theirs)
