from dataclasses import replace

import pytest

from registry.errors import ModelError
from registry.inspection import inspect_delegates, inspect_model
from registry.inspection.delegates import Outside, partition
from registry.inspection.gpu import gpu_obstacle


def delegates_of(path, **options):
    return inspect_delegates(path, inspect_model(path), **options)


@pytest.mark.parametrize("kind", ["float", "float16", "int8"])
def test_a_network_for_the_fast_path_is_one_partition(files, kind):
    report = delegates_of(files[kind])
    assert (report.xnnpack_partitions, report.outside) == (1, ())
    assert report.xnnpack_operations == report.operations
    assert report.gpu_obstacles == ()
    assert report.is_whole


def test_what_a_delegate_leaves_is_named(files):
    report = delegates_of(files["argmax"])
    assert {entry.name for entry in report.outside} == {"SPACE_TO_BATCH_ND", "ARG_MAX"}
    assert [entry.name for entry in report.gpu_obstacles] == ["SPACE_TO_BATCH_ND", "ARG_MAX"]
    assert "not supported" in str(report)
    assert not report.is_whole


def test_a_conversion_at_an_end_cuts_nothing(files):
    report = delegates_of(files["int8"])
    converting = replace(report, outside=(Outside(0, "QUANTIZE", "pixels"),))
    assert converting.is_whole
    assert not replace(converting, xnnpack_partitions=2).is_whole
    assert not replace(report, outside=(Outside(9, "HARD_SWISH", "act"),)).is_whole


def test_int16_values_are_not_for_the_gpu(files):
    assert any("int16" in entry.reason for entry in delegates_of(files["int16"]).gpu_obstacles)


def test_an_open_size_must_be_given(files):
    with pytest.raises(ModelError, match="--size"):
        delegates_of(files["open"])
    assert delegates_of(files["open"], size=(32, 32)).xnnpack_partitions >= 0


def test_another_size_than_the_fixed_one_is_refused(files):
    with pytest.raises(ModelError, match="made for 32 × 48"):
        delegates_of(files["float"], size=(64, 64))


def test_custom_operations_are_refused_by_the_gpu(files):
    (operation, *_) = inspect_model(files["custom"]).operations
    assert gpu_obstacle(operation) == "custom operations are not supported"


def test_partitions_are_found_by_walking_back_from_their_outputs():
    nodes = [
        {"name": "CONV_2D", "inputs": [0, 10], "outputs": [1]},
        {"name": "TOPK_V2", "inputs": [1], "outputs": [2]},
        {"name": "ADD", "inputs": [2, 1], "outputs": [3]},
        {"name": "MUL", "inputs": [3, -1], "outputs": [4]},
        {"name": "DELEGATE", "inputs": [0, 10], "outputs": [1]},
        {"name": "DELEGATE", "inputs": [1, 2], "outputs": [4]},
    ]
    assert partition(nodes) == [{0}, {2, 3}]
    assert partition(nodes[:4]) == []
