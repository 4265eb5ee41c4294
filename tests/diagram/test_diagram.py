"""The diagram says what is built: its blocks' channels, strides and rewrites are those of the built model."""

import copy
import itertools
import re
from collections import Counter
from xml.etree import ElementTree as ET

import pytest
from small_networks import SMALL_PRESET

import registry
from registry.diagram import assembly_diagram, plan_of, rewrites, save_diagram
from registry.diagram.layout import ROW_GAP, Node, arrange
from registry.errors import BrokenPluginError, OutputPathError

SVG = "{http://www.w3.org/2000/svg}"
# What acts in heads; the others act in the encoder as well, which no configuration tells.
IN_HEADS = (
    *("split_image_pooling", "split_upsampled_blocks", "convolve_before_upsampling"),
    *("merge_nearest_upsampling", "drop_padding_taps"),
)
SIZE = (64, 96)


def small(architecture, output_stride=16):
    preset = copy.deepcopy(SMALL_PRESET)
    preset["encoder"]["output_stride"] = output_stride
    return registry.describe({**preset, "architecture": architecture, "input": {"size": SIZE}})


def texts(svg):
    return [element.text for element in ET.fromstring(svg).iter(f"{SVG}text")]


SMALL_ASPP = {"aspp": {"filters": 16}}
ARCHITECTURES = {
    "v3_plus": (
        {
            **{"name": "deeplab_v3_plus", "projection_filters": 6, "dilation_rates": [2, 4, 12]},
            **{**SMALL_ASPP, "decoder": {"filters": 12, "kernel_size": 1, "convolutions": 1}},
        },
        {"split_image_pooling": 1, "split_upsampled_blocks": 1, "drop_padding_taps": 2},
    ),
    "v3_plus_no_decoder": (
        {
            **{"name": "deeplab_v3_plus", "dilation_rates": [2]},
            **{"aspp": {"filters": 16, "image_pooling": False}, "decoder": {"convolutions": 0}},
        },
        {"split_upsampled_blocks": 1},
    ),
    "v3_upsampled": (
        {"name": "deeplab_v3", "upsampling_size": 2, "aspp": {"filters": 16, "separable": True}},
        {"split_image_pooling": 1, "convolve_before_upsampling": 1},
    ),
    "lr_aspp": ({"name": "lr_aspp", "filters": 16}, {}),
    "fpn": ({"name": "fpn", "pyramid_filters": 16, "filters": 12}, {}),
    "unet": (
        {"name": "unet", "decoder_filters": [16, 12, 8, 8], "feature_keys": ["P2", "P3", "P4", "P5"]},
        {},
    ),
    "pspnet": ({"name": "pspnet", "filters": 16, "bins": [1, 2]}, {}),
    "segformer": ({"name": "segformer", "filters": 16}, {"split_upsampled_blocks": 3}),
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_blocks_and_rewrites_are_those_of_the_built_model(name):
    from registry.rewrites import inference_form

    architecture, expected = ARCHITECTURES[name]
    resolved = small(architecture)
    plan = plan_of(resolved)
    model = registry.build(resolved, weights=None, image_shape=[*SIZE, 3])
    _, applied = inference_form(model, SIZE)
    assert {key: applied[key] for key in IN_HEADS if applied[key]} == expected
    drawn = Counter(key for block in plan.blocks for key in block.rewrites if key in IN_HEADS)
    assert set(drawn) == set(expected)
    assert drawn["drop_padding_taps"] == expected.get("drop_padding_taps", 0)
    # Shapes: every block with a stride and channels is the output of some layer of the model.
    outputs = [output for layer in model.layers for output in listed(layer.output)]
    shapes = {tuple(output.shape[1:]) for output in outputs}
    for block in plan.blocks:
        if block.stride is not None and block.channels is not None:
            rows, columns = (-(-side // block.stride) for side in SIZE)
            assert (rows, columns, block.channels) in shapes, block


def listed(outputs):
    return outputs if isinstance(outputs, list | tuple) else [outputs]


def test_names_of_rewrites_are_those_that_run_in_their_order():
    from registry.rewrites import INTEGER_REWRITES, REWRITES

    run = [rewrite.__name__ for rewrite in REWRITES]
    integer = [rewrite.__name__ for rewrite in INTEGER_REWRITES["int8"]]
    assert list(rewrites.REWRITES) == [*dict.fromkeys(run), *integer]
    assert list(rewrites.INTEGER_ONLY) == integer


@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_stages_keep_the_pyramid_contract(output_stride):
    plan = plan_of(small({"name": "deeplab_v3_plus"}, output_stride))
    assert [stage.stride for stage in plan.stages] == [min(2**n, output_stride) for n in range(1, 6)]
    assert all(stage.stride * stage.rate == 2**n for n, stage in enumerate(plan.stages, 1))
    assert [stage.level for stage in plan.stages if stage.leaves] == ["P2", "P5"]
    shown = texts(assembly_diagram(small({"name": "deeplab_v3_plus"}, output_stride)))
    rates = {8: (12, 24, 36), 16: (6, 12, 18), 32: (3, 6, 9)}[output_stride]
    assert [f"atrous, rate {rate}" for rate in rates] == [text for text in shown if "rate" in text][-3:]


def test_every_preset_is_drawn_within_its_picture_and_alike_each_time():
    for name in registry.list_presets("*_resnet*_os8_pascalvoc") + registry.list_presets(
        "*_v3_large_cityscapes"
    ):
        resolved = registry.describe(name)
        text = assembly_diagram(resolved)
        assert text == assembly_diagram(registry.describe(name))
        root = ET.fromstring(text)
        width, height = float(root.get("width")), float(root.get("height"))
        boxes = [
            [float(box.get(key)) for key in ("x", "y", "width", "height")]
            for box in root.iter(f"{SVG}rect")
            if box.get("rx") == "6"
        ]
        assert len(boxes) == 1 + len(plan_of(resolved).stages) + len(plan_of(resolved).blocks)
        for x, y, w, h in boxes:
            assert min(x, y) >= 0
            assert x + w <= width
            assert y + h <= height
        for one, (x, y, w, h) in enumerate(boxes):
            for left, top, wide, high in boxes[:one]:
                assert x >= left + wide or left >= x + w or y >= top + high or top >= y + h
        # A letter of this size is about seven pixels wide.
        assert max(len(line.text) for line in root.iter(f"{SVG}text") if line.get("font-weight")) < width / 7


def test_text_from_a_preset_is_escaped():
    resolved = small({"name": "deeplab_v3"})
    object.__setattr__(resolved, "name", "<script>&\"'")
    text = assembly_diagram(resolved)
    assert "<script" not in text
    assert texts(text)[0] == "<script>&\"'"


def test_an_architecture_that_says_nothing_is_one_box(monkeypatch):
    from registry.discovery.loading import LoadedArchitecture

    monkeypatch.setattr(LoadedArchitecture, "sketch", lambda self, config, arguments: None)
    plan = plan_of(small({"name": "lr_aspp"}))
    assert [block.name for block in plan.blocks] == ["architecture", "output"]
    assert plan.blocks[0].inputs == ("P3", "P5")
    assert any("does not say" in text for text in texts(assembly_diagram(small({"name": "lr_aspp"}))))


@pytest.mark.parametrize("blocks", [["no block"], "reads_later", "twice"])
def test_a_sketch_that_does_not_hold_together_blames_its_plugin(monkeypatch, blocks):
    import registry_heads.sketches
    from registry.sketch import Block

    one = Block(name="one", title="one", inputs=("P3",))
    answers = {
        "reads_later": [Block(name="two", title="two", inputs=("three",))],
        "twice": [one, one],
    }
    answer = answers[blocks] if isinstance(blocks, str) else blocks
    monkeypatch.setitem(registry_heads.sketches.SKETCHES, "lr_aspp", lambda config, arguments: answer)
    with pytest.raises(BrokenPluginError, match="sketch"):
        plan_of(small({"name": "lr_aspp"}))


def test_edges_pass_between_boxes():
    nodes = [
        Node("a", 40, ("P5",)),
        Node("b", 40, ("P5",)),
        Node("c", 40, ("a", "b")),
        Node("d", 40, ("c", "P2")),
    ]
    layout = arrange({"P2": 0.0, "P5": 100.0}, nodes)
    assert [layout.columns[name] for name in "abcd"] == [0, 0, 1, 2]
    assert len(layout.wires["P2", "d"]) == 2
    assert layout.wires["a", "c"] == ()
    # Boxes and wires of one column keep their distance.
    places = sorted([*(layout.centres[name] for name in "ab"), layout.wires["P2", "d"][0]])
    gaps = [after - before for before, after in itertools.pairwise(places)]
    assert min(gaps) >= 20 + 6 + ROW_GAP - 1e-6


def test_the_file_is_an_svg_and_appears_whole(tmp_path):
    resolved = small({"name": "deeplab_v3"})
    save_diagram(resolved, tmp_path / "a.svg")
    assert (tmp_path / "a.svg").read_text(encoding="utf-8") == assembly_diagram(resolved)
    with pytest.raises(OutputPathError, match=re.escape(".svg")):
        save_diagram(resolved, tmp_path / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["a.svg"]
