"""Recipes that prune and cluster: what they may say, and that an interruption changes nothing."""

import numpy as np
import pytest
from small_runs import small_recipe

import registry
from registry.catalog import resolve_recipe
from registry.compression import ClusteredSegmenter, kernel_facts
from registry.errors import ConfigError, TrainingError


@pytest.fixture
def recipe():
    return small_recipe(
        optimizer={"name": "adamw"},
        learning_rate={"peak": 0.001},
        validation={"every": 1, "batch_size": 2, "pictures": 0},
        checkpoints={"every": 1},
    )


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"compression": {}}, "`pruning` or `clustering`, one of them"),
        ({"compression": {"pruning": {}, "clustering": {}}}, "`pruning` or `clustering`, one of them"),
        (
            {"compression": {"pruning": {}}, "quantization": {}},
            "`compression` or `quantization`, one of them",
        ),
        ({"compression": {"pruning": {"sparsity": 1.5}}}, "> 0 and < 1"),
        ({"compression": {"pruning": {"pattern": "3:4"}}}, "2:4"),
        ({"compression": {"clustering": {"clusters": 1}}}, "2"),
        ({"compression": {"clustering": {"sparsity": 0.5}}}, "sparsity"),
    ],
)
def test_what_a_recipe_may_not_say(recipe, sections, message):
    with pytest.raises(ConfigError, match=message):
        resolve_recipe({**recipe, **sections})


@pytest.mark.sweep
@pytest.mark.parametrize("kind", ["pruning", "clustering"])
def test_an_interrupted_run_ends_as_one_that_was_not(recipe, tmp_path, interrupt, kind):
    if kind == "pruning":
        section = {
            "sparsity": 0.7,
            "schedule": "polynomial",
            "begin": 1,
            "end": 4,
            "frequency": 1,
            "exclude": ["segmentation_output"],
        }
    else:
        section = {"clusters": 4, "exclude": ["segmentation_output"]}
    recipe["compression"] = {kind: section}
    whole = registry.train(recipe, tmp_path / "whole", progress=False)
    assert whole.best_step >= (4 if kind == "pruning" else 1)
    interrupt(2)
    with pytest.raises(KeyboardInterrupt):
        registry.train(recipe, tmp_path / "parts", progress=False)
    interrupt(-1)
    parts = registry.train(recipe, tmp_path / "parts", progress=False)
    assert parts.history == whole.history
    model, other = registry.load(whole.preset), registry.load(parts.preset)
    for ours, theirs in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    facts = {one.layer: one for one in kernel_facts(model)}
    assert facts.pop("segmentation_output").sparsity == 0
    if kind == "pruning":
        assert all(one.sparsity == pytest.approx(0.7, abs=0.01) for one in facts.values())
        recipe["compression"]["pruning"]["end"] = 7
        with pytest.raises(TrainingError, match="the last after step 7, of 6 steps"):
            registry.train(recipe, tmp_path / "late", progress=False)
    else:
        assert isinstance(model, ClusteredSegmenter)
        assert all(one.values <= 4 for one in facts.values())


@pytest.mark.sweep
def test_a_run_under_a_strategy_of_several_devices_prunes_as_well(recipe, tmp_path):
    """Kernels are held where variables are mirrored, and a step is one function of all replicas."""
    recipe["compression"] = {"pruning": {"sparsity": 0.5, "begin": 2}}
    recipe.update(steps=3, distribution={"strategy": "mirrored"}, ema=None)
    run = registry.train(recipe, tmp_path / "run", progress=False)
    assert all(
        one.sparsity == pytest.approx(0.5, abs=0.02) for one in kernel_facts(registry.load(run.preset))
    )
