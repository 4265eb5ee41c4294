import pytest
import yaml

from registry.catalog import source
from registry.catalog.origin import Origin
from registry.catalog.scalars import plain_scalar
from registry.catalog.tree import MAX_NODES
from registry.errors import CatalogError, ConfigError

START = Origin("inline", line=1, column=1)


@pytest.fixture(params=["CSafeLoader", "SafeLoader"])
def loader(request, monkeypatch):
    if not hasattr(yaml, request.param):
        pytest.skip("PyYAML was built without libyaml")
    monkeypatch.setattr(source, "_Loader", getattr(yaml, request.param))


def parse(text):
    return source.parse(text, START).plain()


@pytest.mark.usefixtures("loader")
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("FALSE", False),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("Off", "Off"),
        ("y", "y"),
        ("1e-3", 1e-3),
        ("1E3", 1000.0),
        ("-.5", -0.5),
        ("1.", 1.0),
        ("010", 10),
        ("+7", 7),
        ("0o10", 8),
        ("0x1F", 31),
        ("0b11", "0b11"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("2020-01-01", "2020-01-01"),
        ("null", None),
        ("~", None),
        ("", None),
        ("'1'", "1"),
        ('"true"', "true"),
        ("! 1", "1"),
        ("!!str 1", "1"),
        ("!!float 1", 1.0),
        ("!!int '3'", 3),
        ("!!null ''", None),
        ("!!bool true", True),
        ("!!map {b: 1}", {"b": 1}),
        ("!!seq [1]", [1]),
        ("=", "="),
        ("1.2.3", "1.2.3"),
        ("-", [None]),
    ],
)
def test_scalars_follow_the_yaml_1_2_core_schema(text, value):
    text = "\n  -" if text == "-" else text
    result = parse(f"a: {text}\n")["a"]
    assert result == value
    assert type(result) is type(value)


@pytest.mark.usefixtures("loader")
def test_every_value_knows_its_line_and_column():
    tree = source.parse("a:\n  b: [1, {c: ü, d: 2}]\n", START)
    node = tree.find(("a", "b", 1, "d"))
    assert (node.origin.line, node.origin.column) == (2, 20)
    assert (node.key_origin.line, node.key_origin.column) == (2, 17)


def test_a_byte_order_mark_is_no_content(tmp_path):
    path = tmp_path / "bom.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")
    tree = source.read(path)
    assert tree.plain() == {"a": 1}
    assert tree.entries["a"].origin.column == 4


@pytest.mark.usefixtures("loader")
def test_aliases_repeat_a_value():
    assert parse("a: &x [1, 2]\nb: *x\nc: {d: *x}\n") == {"a": [1, 2], "b": [1, 2], "c": {"d": [1, 2]}}


@pytest.mark.usefixtures("loader")
def test_an_alias_bomb_is_refused_before_it_is_expanded(monkeypatch):
    built = 0
    original = source.Node

    def counting(*arguments, **keywords):
        nonlocal built
        built += 1
        return original(*arguments, **keywords)

    monkeypatch.setattr(source, "Node", counting)
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 25)
    )
    with pytest.raises(ConfigError, match="aliases expanded") as caught:
        parse(bomb)
    # 9⁵ values are too many: reading ends in the fifth of 25 lines, after some sixty nodes.
    assert caught.value.received.startswith("1")
    assert built < 100


@pytest.mark.usefixtures("loader")
def test_the_bound_is_on_the_expanded_tree():
    hundred = "a: &x [" + "1, " * 99 + "]\n"
    # The root, `a`, its list of 99 items, `b` and its list are 104 nodes; every alias adds 100.
    fits = (MAX_NODES - 104) // 100
    parse(hundred + f"b: [{'*x, ' * fits}]\n")
    with pytest.raises(ConfigError, match="10,000 values"):
        parse(hundred + f"b: [{'*x, ' * (fits + 1)}]\n")


@pytest.mark.usefixtures("loader")
def test_aliases_cannot_nest_past_the_depth():
    steps = "".join(f"a{level}: &a{level} [*a{level - 1}]\n" for level in range(1, 40))
    with pytest.raises(ConfigError, match="32 levels"):
        parse("a0: &a0 [1]\n" + steps)


@pytest.mark.usefixtures("loader")
@pytest.mark.parametrize("nest", ["[", "- ", "{a: ", "? "])
def test_nesting_cannot_exhaust_the_stack(nest):
    with pytest.raises(ConfigError):
        parse(nest * 100_000)


@pytest.mark.usefixtures("loader")
def test_only_a_plain_merge_key_is_one():
    assert parse("'<<': 1\na: <<\n") == {"<<": 1, "a": "<<"}


def test_a_folder_is_no_preset(tmp_path):
    with pytest.raises(CatalogError, match="which is a folder"):
        source.read(tmp_path)


def test_a_missing_file(tmp_path):
    with pytest.raises(CatalogError, match="must exist"):
        source.read(tmp_path / "absent.yaml")


def test_an_unreadable_file(tmp_path, monkeypatch):
    path = tmp_path / "secret.yaml"
    path.write_text("a: 1")

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", refuse)
    with pytest.raises(CatalogError, match="must be readable"):
        source.read(path)


def test_a_path_with_a_nul_character(tmp_path):
    with pytest.raises(CatalogError, match="must be readable"):
        source.read(tmp_path / "a\0.yaml")


def test_plain_scalar_keeps_text():
    assert plain_scalar("resnet_50") == "resnet_50"
