"""What only a process of its own can show: exit codes, streams, imports."""

import json

import pytest

COMMANDS = (
    *("list", "show", "validate", "schema", "plugins", "encoders", "build", "export", "predict", "demo"),
    *("new-plugin", "check-plugin", "evaluate", "doctor", "serve"),
)
HEAVY = ("tensorflow", "tf_keras", "keras", "numpy", "PIL", "rich")


def test_help_lists_every_command_and_every_command_has_an_example(run):
    overview = run("--help").stdout
    assert "Exit codes" in overview
    for command in COMMANDS:
        assert f"\n  {command} " in overview
        text = run(command, "--help").stdout
        assert f"atrous {command}" in text.split("Example", 1)[1]
        assert ("--json" in text) is (command not in ("schema", "demo", "serve"))


@pytest.mark.parametrize(
    "command", [("list",), ("list", "--json"), ("plugins", "--json"), ("--help",), ("--version",)]
)
def test_listing_imports_nothing_heavy(process, command):
    code = (
        "import sys\n"
        "from registry.cli import main\n"
        f"sys.argv = ['atrous', *{command!r}]\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        f"loaded = sorted(set({HEAVY!r}) & {{name.split('.')[0] for name in sys.modules}})\n"
        "print(loaded, file=sys.stderr)\n"
    )
    done = process("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_running_a_file_imports_no_tensorflow(process, tiny_tflite, photo, annotated_folder, command):
    words = {"predict": [photo], "evaluate": ["--reader", "folder", "--root", annotated_folder]}[command]
    arguments = ["atrous", command, str(tiny_tflite), *map(str, words), "--json"]
    code = (
        "import sys\n"
        "from registry.cli import main\n"
        f"sys.argv = {arguments!r}\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        "assert not {'tensorflow', 'tf_keras', 'keras'} & {name.split('.')[0] for name in sys.modules}\n"
    )
    done = process("-c", code)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["num_classes"] == 2 if command == "predict" else document["dataset"]["images"] == 3


def test_the_module_and_the_console_entry_are_one_command(process):
    import registry

    module = process("-m", "registry", "--version")
    entry = process("-c", "import sys; sys.argv = ['x', '--version']; from registry.cli import main; main()")
    assert module.stdout == entry.stdout == f"atrous {registry.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("list",), 0),
        (("show", "no_such_preset"), 1),
        (("predict", "absent.tflite", "absent.jpg"), 1),
        (("show",), 2),
        (("no-such-command",), 2),
        (("list", "--no-such-option"), 2),
        ((), 2),
    ],
)
def test_exit_codes(process, arguments, code):
    done = process("-m", "registry", *arguments)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert (done.stdout == "") is (code != 0)


def test_a_defect_exits_with_3_and_shows_its_traceback(process):
    code = (
        "import sys, registry\n"
        "registry.list_presets = lambda pattern: 1 / 0\n"
        "sys.argv = ['atrous', 'list']\n"
        "from registry.cli import main; main()\n"
    )
    done = process("-c", code)
    assert done.returncode == 3
    assert "ZeroDivisionError" in done.stderr
    assert "report it" in done.stderr


def test_an_interrupt_exits_with_130(process):
    code = (
        "import os, signal, sys, registry\n"
        # A background job of a shell inherits an ignored SIGINT.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "registry.list_presets = lambda pattern: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.argv = ['atrous', 'list']\n"
        "from registry.cli import main; main()\n"
    )
    done = process("-c", code)
    assert done.returncode == 130
    assert "Traceback" not in done.stderr


def test_a_closed_pipe_is_no_defect(process):
    code = (
        "import os, sys, registry\n"
        "registry.list_presets = lambda pattern: ['x' * 100] * 100_000\n"
        "reader, writer = os.pipe(); os.close(reader); os.dup2(writer, 1)\n"
        "sys.argv = ['atrous', 'list']\n"
        "from registry.cli import main; main()\n"
    )
    assert "report it" not in process("-c", code).stderr
