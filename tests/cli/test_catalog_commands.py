import json

import pytest
import yaml

import registry

PRESET = "deeplab_v3_plus_resnet50_pascalvoc"


def write_preset(path, **changes):
    content = {
        "encoder": {"plugin": "resnet", "variant": "resnet_50"},
        "architecture": {"name": "deeplab_v3"},
        "num_classes": 3,
        **changes,
    }
    path.write_text(yaml.safe_dump(content))
    return path


def test_list(run):
    result = run("list")
    assert result.exit_code == 0
    assert result.stdout.split() == registry.list_presets()
    assert json.loads(run("list", "--json").stdout) == {"presets": registry.list_presets()}
    assert json.loads(run("list", "*resnet101*", "--json").stdout) == {
        "presets": registry.list_presets("*resnet101*")
    }


def test_list_without_a_match_says_so_beside_stdout(run):
    result = run("list", "nothing-like-this")
    assert result.exit_code == 0
    assert result.stdout == ""
    assert "no preset matches" in result.stderr


def test_show(run):
    shown = run("show", PRESET)
    assert shown.exit_code == 0
    assert "num_classes" in shown.stdout
    assert json.loads(run("show", PRESET, "--json").stdout) == registry.describe(PRESET).to_dict()
    changed = run(
        "show", PRESET, "--set", "encoder.output_stride=8", "--set", "architecture.aspp.dropout=0.5", "--json"
    )
    config = json.loads(changed.stdout)["config"]
    assert config["encoder"]["output_stride"] == 8
    assert config["architecture"]["aspp"]["dropout"] == 0.5


def test_an_unknown_preset_suggests_its_neighbour(run):
    result = run("show", PRESET[:-1], "--json")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert PRESET in result.stderr
    assert "Traceback" not in result.stderr
    assert "Traceback" in run("--debug", "show", "nothing").stderr


def test_an_override_that_breaks_the_schema_is_wrong_input(run):
    result = run("show", PRESET, "--set", "num_classes=zero")
    assert result.exit_code == 1
    assert "num_classes" in result.stderr


@pytest.mark.parametrize(
    "assignment", ["num_classes", "=3", "preset=other", "num_classes=[1", "num_classes: 3", ""]
)
def test_assignments_that_are_none_are_usage_errors(run, assignment):
    result = run("show", PRESET, "--set", assignment)
    assert result.exit_code == 2
    assert "--set" in result.stderr


def test_a_key_set_twice_is_a_usage_error(run):
    assert run("show", PRESET, "--set", "num_classes=3", "--set", "num_classes=4").exit_code == 2


def test_the_whole_catalog_is_valid(run):
    result = run("validate")
    assert result.exit_code == 0, result.stderr
    assert "0 errors" in result.stdout
    document = json.loads(run("validate", "--json").stdout)
    assert document == {"checked": [*registry.list_presets(), *registry.list_recipes()], "errors": []}


def test_validate_lists_every_error(run, tmp_path):
    good = write_preset(tmp_path / "good.yaml")
    presets = {
        "ConfigError": write_preset(tmp_path / "classes.yaml", num_classes=0),
        "UnknownPluginError": write_preset(
            tmp_path / "plugin.yaml", encoder={"plugin": "resnett", "variant": "resnet_50"}
        ),
        "UnknownEncoderError": write_preset(
            tmp_path / "variant.yaml", encoder={"plugin": "resnet", "variant": "resnet_5"}
        ),
        "ModelError": write_preset(
            tmp_path / "stride.yaml",
            encoder={"plugin": "resnet", "variant": "resnet_50", "output_stride": 4},
        ),
    }
    result = run("validate", good, *presets.values(), "no_such_preset", "--json")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert document["checked"] == [str(good), *map(str, presets.values()), "no_such_preset"]
    found = {error["name"]: error["type"] for error in document["errors"]}
    assert found == {str(path): kind for kind, path in presets.items()} | {
        "no_such_preset": "UnknownPresetError"
    }
    readable = run("validate", good, *presets.values())
    assert readable.exit_code == 1
    assert readable.stdout == "5 presets checked, 4 errors\n"
    assert all(str(path) in readable.stderr for path in presets.values())
    assert run("validate", good).stdout == "1 preset checked, 0 errors\n"


def test_two_presets_of_one_name_make_the_catalog_invalid(process, tmp_path):
    write_preset(tmp_path / f"{PRESET}.yaml")
    done = process("-m", "registry", "validate", "--json", ATROUS_PRESET_PATH=str(tmp_path))
    assert done.returncode == 1
    assert [error["type"] for error in json.loads(done.stdout)["errors"]] == ["DuplicatePresetError"]
    assert done.stderr.startswith(f"atrous: warning: two presets are named {PRESET!r}")
    assert "registry/cli" not in done.stderr


def test_schema(run):
    import jsonschema

    schema = json.loads(run("schema").stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert "encoder" in schema["properties"]


def test_plugins(run):
    (record,) = (
        entry for entry in json.loads(run("plugins", "--json").stdout)["plugins"] if entry["name"] == "resnet"
    )
    assert record["module"] == "registry_resnet"
    table = run("plugins").stdout
    assert "resnet" in table
    assert "registry_resnet" in table


def test_encoders(run):
    records = json.loads(run("encoders", "--json").stdout)["encoders"]
    assert "resnet_50" in {record["variant"] for record in records}
    assert "resnet_50" in run("encoders").stdout
    nothing = run("encoders", "nothing-like-this")
    assert nothing.exit_code == 0
    assert nothing.stdout == ""
