"""Every way to break a preset: one error that says where, what rule, what was received and what to do."""

import pytest

from registry.catalog import resolve
from registry.catalog.source import MAX_BYTES
from registry.errors import ConfigError, RegistryError

HEAD = "num_classes: 2\nencoder: {plugin: p, variant: v}\n"
FULL = HEAD + "architecture:\n  name: deeplab_v3_plus\n"
SAFE_TAGS = "only the tags"
RATES = "must be `auto` or a non-empty list, each value a positive integer"

# name: (text, line, column, phrases of the message)
BROKEN = {
    "empty": ("", 1, 1, ["must hold a mapping", "an empty file"]),
    "only comments": ("# nothing\n\n", 1, 1, ["must hold a mapping"]),
    "top level list": ("- a\n- b\n", 1, 1, ["top level", '["a", "b"]']),
    "top level scalar": ("hello\n", 1, 1, ["top level", '"hello"']),
    "top level null": ("---\n", 2, 1, ["top level", "null"]),
    "two documents": ("num_classes: 2\n---\nnum_classes: 3\n", 2, 1, ["one document", "remove `---`"]),
    "tab": ("encoder:\n\tplugin: p\n", 2, 1, ["YAML syntax", "spaces"]),
    "unclosed list": ("a: [1,\nb: 2\n", 3, 1, ["close the bracket opened at line 1, column 4"]),
    "unclosed mapping": ("a: {b: 1\n", 2, 1, ["close the bracket opened at line 1, column 4"]),
    "unclosed quote": ("a: 'x\nb: 1\n", 3, 1, ["close the quotation mark opened on line 1"]),
    "bad escape": ('a: "\\xZZ"\n', 1, 7, ["escape sequence"]),
    "colon in text": ("description: a: b\n", 1, 15, ["in quotes"]),
    "reserved character": ("description: @x\n", 1, 14, ["put the text in quotes"]),
    "wrong indentation": ("a: 1\n  b: 2\n", 2, 4, ["YAML syntax"]),
    "stray bracket": ("a: ]\n", 1, 4, ["YAML syntax"]),
    "control character": ("a: x\nb: \x07\n", 2, 4, ["control characters", "U+0007"]),
    "python object": ("a: !!python/object:os.system {}\n", 1, 4, [SAFE_TAGS, "!!python/object:os.system"]),
    "python call": ("a: !!python/object/apply:os.system [ls]\n", 1, 4, [SAFE_TAGS]),
    "python tag on a key": ("!!python/name:os.system a: 1\n", 1, 1, [SAFE_TAGS]),
    "private tag": ("a: !foo 1\n", 1, 4, [SAFE_TAGS, "!foo"]),
    "timestamp tag": ("a: !!timestamp 2020-01-01\n", 1, 4, [SAFE_TAGS, "!!timestamp"]),
    "binary tag": ("a: !!binary aGk=\n", 1, 4, [SAFE_TAGS]),
    "set tag": ("a: !!set {b}\n", 1, 4, [SAFE_TAGS]),
    "list tag on a mapping": ("a: !!seq {b: 1}\n", 1, 4, [SAFE_TAGS]),
    "tag and text disagree": ("a: !!int x\n", 1, 4, ["`!!int` must be followed by"]),
    "duplicate key": ("a: 1\nb: 2\na: 3\n", 3, 1, ["`a` stands at broken.yaml:1:1", "remove one"]),
    "duplicate nested key": ("a:\n  b: 1\n  b: 1\n", 3, 3, ["broken.yaml:2:3"]),
    "number as key": ("1: 2\n", 1, 1, ["key must be a string", "1"]),
    "boolean as key": ("true: 2\n", 1, 1, ["key must be a string", "true"]),
    "null as key": ("~: 2\n", 1, 1, ["key must be a string", "null"]),
    "list as key": ("? [a]\n: 1\n", 1, 3, ["key must be a string"]),
    "alias to a list as key": ("a: &x [1]\n*x : 1\n", 2, 1, ["key must be a string", "[1]"]),
    "merge key": ("a: &x {b: 1}\n<<: *x\n", 2, 1, ["merge keys", "use `extends`"]),
    "alias of itself": ("a: &x [*x]\n", 1, 8, ["contain itself", "*x"]),
    "alias of itself in a mapping": ("a: &x\n  b: *x\n", 2, 6, ["contain itself"]),
    "alias without anchor": ("a: *x\n", 1, 4, ["follow its anchor", "&x"]),
    "not a number": ("a: .nan\n", 1, 4, ["finite", ".nan"]),
    "infinite": ("a: [-.inf]\n", 1, 5, ["finite", "-.inf"]),
    "infinite by size": ("a: 1e999\n", 1, 4, ["finite", "1e999"]),
    "integer beyond 64 bits": ("a: 99999999999999999999\n", 1, 4, ["64 bits"]),
    "integer of many digits": (f"a: {'9' * 5000}\n", 1, 4, ["64 bits"]),
    "too deep": ("a: " + "[" * 32 + "]" * 32 + "\n", 1, 35, ["at most 32 levels"]),
    "a million brackets": ("[" * 1_000_000, 1, (33, 1001), ["at most 32 levels"]),
    "too many values": ("a: [" + "1, " * 10_000 + "]\n", 1, 29_996, ["at most 10,000 values"]),
    "unknown key": (FULL + "clases: 3\n", 5, 1, ["a preset has no key `clases`"]),
    "misspelt key": (FULL + "  dilation_rate: [1]\n", 5, 3, ["no key `dilation_rate`", "'dilation_rates'?"]),
    "key in the wrong place": (FULL + "output_stride: 8\n", 5, 1, ["belongs under `encoder`"]),
    "missing key": ("num_classes: 2\n" + FULL.split("\n", 1)[1].replace(", variant: v", ""), 2, 10, ["`encoder.variant` is required", "only plugin", "add `variant: …`"]),
    "missing section": (HEAD, 1, 1, ["`architecture` is required", "only num_classes, encoder"]),
    "wrong enumeration": (FULL + "activation: sofmax\n", 5, 13, ["`softmax`, `sigmoid` or null", "'softmax'"]),
    "no architecture name": (HEAD + "architecture: {}\n", 3, 15, ["`architecture.name` is required: one of `deeplab_v3`"]),
    "unknown architecture": (HEAD + "architecture: {name: deeplab}\n", 3, 22, ["`architecture.name` must be one of", "did you mean"]),
    "architecture no mapping": (HEAD + "architecture: deeplab_v3\n", 3, 15, ["`architecture` must be a mapping"]),
    "key of the other architecture": (HEAD + "architecture:\n  name: deeplab_v3\n  projection_filters: 48\n", 5, 3, ["no key `projection_filters`"]),
    "zero classes": (FULL.replace("2", "0", 1), 1, 14, ["`num_classes` must be a positive integer", "0"]),
    "negative classes": (FULL.replace("2", "-2", 1), 1, 14, ["a positive integer", "-2"]),
    "float classes": (FULL.replace("2", "2.0", 1), 1, 14, ["a positive integer", "2.0", "write 2"]),
    "quoted classes": (FULL.replace("2", "'2'", 1), 1, 14, ["a positive integer", '"2"', "write 2, without quotes"]),
    "boolean classes": (FULL.replace("2", "true", 1), 1, 14, ["a positive integer", "true"]),
    "empty rates": (FULL + "  dilation_rates: []\n", 5, 19, [RATES, "[]"]),
    "rates no list": (FULL + "  dilation_rates: 6\n", 5, 19, [RATES]),
    "negative rate": (FULL + "  dilation_rates: [6, -1]\n", 5, 23, ["`architecture.dilation_rates[1]` must be a positive integer", "-1"]),
    "upsampling of one": (FULL + "  upsampling_size: [8]\n", 5, 20, ["`auto`, a positive integer or a list of 2 values", "[8]"]),
    "upsampling of three": (FULL + "  upsampling_size: [8, 8, 8]\n", 5, 20, ["`auto`, a positive integer or a list of 2 values"]),
    "unknown level": (FULL + "  low_level_feature_key: P6\n", 5, 26, ["one of `P1`, `P2`, `P3`, `P4`, `P5`", '"P6"']),
    "output stride": (FULL.replace("v}", "v, output_stride: 7}"), 2, 49, ["one of 4, 8, 16, 32", "7"]),
    "YAML 1.1 boolean": (FULL + "  aspp: {separable: yes}\n", 5, 21, ["true or false", '"yes"', "write true"]),
    "boolean as choice": (FULL + "  decoder: {kernel_size: true}\n", 5, 26, ["one of 1, 3, 5", "true"]),
    "dropout too large": (FULL + "  aspp: {dropout: 1}\n", 5, 19, ["a number ≥ 0 and < 1", "1"]),
    "dropout as text": (FULL + "  aspp: {dropout: '0.1'}\n", 5, 19, ["a number", '"0.1"', "without quotes"]),
    "empty section": (FULL + "weights:\n", 5, 9, ["`weights` must be a mapping", "null"]),
    "colour of two": (FULL + "labels:\n  - {name: a, color: [1, 2]}\n  - {name: b, color: [1, 2, 3]}\n", 6, 22, ["`labels[0].color` must be a list of 3 values, each an integer from 0 to 255"]),
    "colour too bright": (FULL + "labels:\n  - {name: a, color: [1, 2, 256]}\n", 6, 29, ["`labels[0].color[2]` must be an integer from 0 to 255"]),
    "label as a name": (FULL + "labels: [cat, {name: dog, color: [0, 0, 0]}]\n", 5, 10, ["`labels[0]` must be a mapping", '`- {"name": "…", "color": [0, 0, 0]}`']),
    "number of labels": (FULL + "labels:\n  - {name: a, color: [1, 2, 3]}\n", 6, 3, ["`labels` names 1 classes, but `num_classes` is 2"]),
    "normalization": (FULL + "input: {normalization: {scale: [1, 2]}}\n", 5, 32, ["`input.normalization.scale` must be a number or a list of 3 values"]),
    "channels": (FULL + "input: {image_shape: [1, null, 4]}\n", 5, 32, ["`input.image_shape[2]` must be 3", "4"]),
    "extends of a number": ("extends: 3\n", 1, 10, ["a preset name or a list of names", "3"]),
    "extends upwards": ("extends: ../x\n", 1, 10, ["`..`", '"../x"']),
    "extends from the top": ("extends: [/etc/passwd]\n", 1, 11, ["absolute paths"]),
    "extends with backslash": ("extends: _base\\x\n", 1, 10, ["backslashes"]),
    "extends nothing known": ("extends: _base/resnet_51\n", 1, 10, ["that exists", "'_base/resnet_50'"]),
    "extends itself": ("extends: broken\n", 1, 10, ["broken → broken"]),
    "extends very many": (f"extends: [{', '.join(['a'] * 33)}]\n", 1, 10, ["at most 32 bases"]),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_preset_is_one_error_with_place_rule_value_and_repair(case, write):
    text, line, column, phrases = BROKEN[case]
    path = write("broken.yaml", "")
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        resolve(path)
    message = str(caught.value)
    # PyYAML 6.0.4 reads ahead to its own limit; older ones let us stop at ours.
    columns = column if isinstance(column, tuple) else (column,)
    assert message.startswith(tuple(f"broken.yaml:{line}:{place}: " for place in columns))
    assert "\n  received: " in message
    assert "\n  repair:   " in message
    assert [phrase for phrase in phrases if phrase not in message] == []
    assert len(message) < 2000


def test_bytes_that_are_no_utf8(write):
    path = write("broken.yaml", "")
    path.write_bytes("a: 1\nb: ü".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"^broken.yaml:2:4: .*UTF-8") as caught:
        resolve(path)
    assert "0xfc" in str(caught.value)


def test_utf16(write):
    path = write("broken.yaml", "")
    path.write_bytes("a: 1".encode("utf-16"))
    with pytest.raises(ConfigError, match=r"^broken.yaml:1:1: .*UTF-8"):
        resolve(path)


def test_a_file_of_more_than_a_mebibyte(write):
    path = write("broken.yaml", "# " + "x" * MAX_BYTES)
    with pytest.raises(ConfigError, match="at most 1,048,576 bytes"):
        resolve(path)


def test_several_errors_come_together_each_with_its_place(write):
    text = FULL + "  dilation_rates: [6, -1, 2.5]\n  aspp: {filters: 0, dropot: 0.1}\nlicence: MIT\n"
    with pytest.raises(ConfigError) as caught:
        resolve(write("broken.yaml", text))
    message = str(caught.value)
    assert message.startswith("preset 'broken' breaks 5 rules:")
    places = ["5:23: ", "5:27: ", "6:19: ", "6:22: ", "7:1: "]
    positions = [message.index(f"\nbroken.yaml:{place}") for place in places]
    assert positions == sorted(positions)
    assert message.count("repair:") == 5


def test_very_many_errors_are_cut(write):
    text = FULL + "".join(f"x{index}: 1\n" for index in range(100))
    with pytest.raises(ConfigError, match="… and 80 more") as caught:
        resolve(write("broken.yaml", text))
    assert "breaks 100 rules" in str(caught.value)


def test_an_error_names_the_file_that_holds_the_value_not_the_one_that_was_asked_for(write):
    write("base.yaml", FULL + "  projection_filters: none\n")
    path = write("child.yaml", "extends: base\nnum_classes: 5\n")
    with pytest.raises(ConfigError, match=r"^base.yaml:5:23: "):
        resolve(path)


def test_config_errors_are_value_errors(write):
    with pytest.raises(ValueError, match="must hold a mapping") as caught:
        resolve(write("broken.yaml", ""))
    assert isinstance(caught.value, RegistryError)
