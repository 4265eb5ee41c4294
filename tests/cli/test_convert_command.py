"""`atrous convert` on the command line."""

import json

import registry


def test_it_accounts_for_every_array(run, small_model, tmp_path):
    registry.save_preset(small_model, tmp_path / "cats")
    result = run("convert", "cats", "cats.safetensors", "--json")
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert (document["source"], document["target"], document["format"]) == (
        "cats",
        "cats.safetensors",
        "safetensors",
    )
    assert {layer["status"] for layer in document["layers"]} == {"used"}
    shapes = {layer["name"]: layer["shapes"] for layer in document["layers"]}
    assert shapes["segmentation_output"] == [[1, 1, 16, 5]]
    told = run("convert", "cats.safetensors", "again", "--preset", "cats")
    assert told.exit_code == 0, told.stderr
    assert "unused      none" in told.stdout
    assert (tmp_path / "again" / "model.safetensors").exists()


def test_it_says_what_is_wrong(run, tmp_path):
    (tmp_path / "x.pth").write_bytes(b"PK\3\4")
    result = run("convert", "x.pth", "x")
    assert result.exit_code == 1
    assert "--preset" in result.stderr
    result = run("convert", "absent.keras", "x")
    assert result.exit_code == 1
    assert "absent.keras" in result.stderr
