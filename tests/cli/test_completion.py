"""What a shell is told when its user presses the tabulator key, in the protocol of each shell."""

import subprocess
import sys

import pytest

from registry.cli import completion


def test_presets_files_and_folders_complete(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("deep_own.yaml", "deep_own.tflite", "deep_own.txt", ".hidden.yaml"):
        (tmp_path / name).write_text("")
    (tmp_path / "deep_folder").mkdir()
    (tmp_path / "deep_folder" / "inner.yml").write_text("")
    words = completion.complete_preset("deep")
    assert "deeplab_v3_plus_resnet50_pascalvoc" in words
    assert words[-2:] == ["deep_folder/", "deep_own.yaml"]
    assert completion.complete_preset("deep_folder/") == ["deep_folder/inner.yml"]
    assert completion.complete_model("") == ["deep_folder/", "deep_own.tflite"]
    assert "deep_own.tflite" in completion.complete_source("deep_o")
    assert "deep_own.txt" in completion.complete_labels("deep_o")
    assert completion.complete_preset("absent/x") == []


def test_recipes_and_plugins_complete():
    assert "deeplab_v3_plus_resnet_digits" in completion.complete_recipe("deeplab")
    assert completion.complete_encoder_plugin("mobile") == ["mobilenet"]


def test_an_environment_that_is_wrong_completes_nothing_and_says_nothing(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("ATROUS_PRESET_PATH", str(tmp_path / "absent"))
    monkeypatch.chdir(tmp_path)
    assert completion.complete_preset("") == []
    assert capsys.readouterr() == ("", "")


def test_bash_gets_its_words_without_a_framework(process):
    code = (
        "import sys\n"
        "from registry.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit:\n    pass\n"
        "print(sorted({'tensorflow', 'tf_keras', 'numpy', 'PIL'} & set(sys.modules)), file=sys.stderr)\n"
    )
    done = process(
        "-c", code, COMP_WORDS="atrous show deeplab_v3_plus_resnet101_os8", COMP_CWORD="2",
        _ATROUS_COMPLETE="complete_bash",
    )  # fmt: skip
    assert done.stdout.split() == ["deeplab_v3_plus_resnet101_os8_pascalvoc"]
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize(
    ("shell", "environment"),
    [
        ("zsh", {}),
        ("fish", {"_TYPER_COMPLETE_FISH_ACTION": "get-args"}),
    ],
)
def test_other_shells_get_theirs(process, shell, environment):
    done = process(
        "-m", "registry", _ATROUS_COMPLETE=f"complete_{shell}",
        _TYPER_COMPLETE_ARGS="atrous train deeplab_v3_plus_resnet_d", **environment,
    )  # fmt: skip
    assert "deeplab_v3_plus_resnet_digits" in done.stdout


def test_the_script_for_bash_is_one_that_bash_takes(tmp_path):
    from typer.completion import get_completion_script

    script = get_completion_script(prog_name="atrous", complete_var="_ATROUS_COMPLETE", shell="bash")
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "atrous"
    command.write_text(f"#!/bin/sh\nexec '{sys.executable}' -m registry \"$@\"\n")
    command.chmod(0o755)
    words = f"{script}\nCOMP_WORDS=(atrous doc); COMP_CWORD=1; _atrous_completion '{command}'; echo \"${{COMPREPLY[@]}}\""
    done = subprocess.run(["bash", "-c", words], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["doctor"], done.stderr
