"""Files made by hand to hurt whoever reads them: one builder per class, each with a word of the message it must meet.

A builder gets an empty folder and returns the path to be read. `MODELS` go to `registry.load_model`, `WEIGHTS` to
`open_weights`. None needs TensorFlow to be made.
"""

import json
import struct
import warnings
import zipfile
import zlib

import h5py
import numpy as np

LEAF = {
    "class_name": "InputLayer",
    "config": {"name": "x"},
    "module": "keras.layers",
    "registered_name": None,
}


def functional(*layers, **parts):
    """A configuration of Keras around some layers."""
    return {
        "module": "tf_keras.src.engine.functional",
        "class_name": "Functional",
        "config": {"name": "model", "layers": [LEAF, *layers]},
        "registered_name": "Functional",
        **parts,
    }


def layer(name, module="keras.layers", registered=None, **config):
    """One layer of it."""
    return {"class_name": name, "module": module, "registered_name": registered, "config": config}


def hdf5_bytes(folder, fill=lambda file: None):
    """An HDF5 file as bytes."""
    path = folder / "inner.h5"
    with h5py.File(path, "w") as file:
        file["layers/conv2d/vars/0"] = np.ones((1, 1, 3, 2), np.float32)
        fill(file)
    content = path.read_bytes()
    path.unlink()
    return content


def archive(folder, config=None, *, weights=None, members=(), name="model.keras", method=zipfile.ZIP_STORED):
    """A `.keras` file with one thing that does not belong there."""
    path = folder / name
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", method) as file:
        warnings.simplefilter("ignore")  # a name that occurs twice
        file.writestr("metadata.json", "{}")
        text = config if isinstance(config, (str, bytes)) else json.dumps(config or functional())
        file.writestr("config.json", text)
        file.writestr("model.weights.h5", hdf5_bytes(folder) if weights is None else weights)
        for member, content in members:
            file.writestr(member, content)
    return path


def link_member(folder):
    """A member that is a symbolic link of Unix."""
    info = zipfile.ZipInfo("metadata.json")
    info.external_attr = 0o120777 << 16
    path = folder / "model.keras"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(info, "/etc/passwd")
        file.writestr("config.json", json.dumps(functional()))
        file.writestr("model.weights.h5", hdf5_bytes(folder))
    return path


def encrypted(folder):
    """The flag of encryption set on every member."""
    path = archive(folder)
    content = bytearray(path.read_bytes())
    place = -1
    while (place := content.find(b"PK\1\2", place + 1)) >= 0:
        content[place + 8] |= 1
    path.write_bytes(content)
    return path


def many_members(folder):
    return archive(folder, members=[(f"assets/{number}", "") for number in range(20_000)])


def zip_bomb(folder, member="model.weights.h5", megabytes=400):
    """A member of zeros that deflates to a thousandth."""
    path = folder / "model.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for name in ("config.json", "model.weights.h5"):
            if name != member:
                file.writestr(name, json.dumps(functional()) if name == "config.json" else hdf5_bytes(folder))
        with file.open(member, "w", force_zip64=True) as target:
            block = bytes(1 << 22)
            for _ in range(megabytes >> 2):
                target.write(block)
    return path


def overlong_member(folder):
    """Deflated data that give more bytes than the list of members says: read to its end, it would be a bomb."""
    path = archive(folder, functional(), method=zipfile.ZIP_DEFLATED, weights=bytes(8 << 20))
    content = path.read_bytes()
    wrong = content.replace(struct.pack("<I", 8 << 20), struct.pack("<I", 1 << 10))
    path.write_bytes(wrong)
    return path


def legacy_h5(folder, config, **attributes):
    """A whole model in Keras's older format."""
    path = folder / "model.h5"
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = config if isinstance(config, str) else json.dumps(config)
        for name, value in attributes.items():
            file.attrs[name] = json.dumps(value)
        file.create_group("model_weights").attrs["layer_names"] = []
    return path


def old(name, **config):
    """A layer as the older format writes it."""
    model = {
        "name": "m",
        "layers": [{"class_name": name, "config": config, "name": "x", "inbound_nodes": []}],
    }
    return {"class_name": "Functional", "config": model}


LAMBDA = {"function": ["4wAAAAA=", None, None], "function_type": "lambda", "module": "builtins"}
PROCESS = "os.system('touch hurt')"

MODELS = {
    "lambda in .keras": (lambda f: archive(f, functional(layer("Lambda", **LAMBDA))), "holds code"),
    "lambda in .h5": (lambda f: legacy_h5(f, old("Lambda", **LAMBDA)), "holds code"),
    "lambda within a wrapper": (
        lambda f: archive(f, functional(layer("TimeDistributed", layer=layer("Lambda", **LAMBDA)))),
        "holds code",
    ),
    "bytecode as a value": (
        lambda f: archive(
            f, functional(layer("Conv2D", activation={"class_name": "__lambda__", "config": {}}))
        ),
        "__lambda__",
    ),
    "class of another module": (
        lambda f: archive(f, functional(layer("Popen", "subprocess", args=["touch", "hurt"]))),
        "Popen of subprocess",
    ),
    "function of another module": (
        lambda f: archive(
            f,
            functional(
                layer(
                    "Activation",
                    activation={
                        "class_name": "function",
                        "config": "system",
                        "module": "os",
                        "registered_name": "system",
                    },
                )
            ),
        ),
        "'system' of os",
    ),
    "internal module of Keras": (
        lambda f: archive(f, functional(layer("get_file", "keras.src.utils.data_utils"))),
        "get_file of keras.src.utils.data_utils",
    ),
    "class that is registered nowhere": (
        lambda f: archive(f, functional(layer("Anything", "mine", "mine>Anything"))),
        "Anything of mine",
    ),
    "function of TensorFlow that writes": (
        lambda f: archive(
            f,
            functional(
                layer(
                    "TFOpLambda",
                    "tf_keras.src.layers.core.tf_op_layer",
                    "TFOpLambda",
                    function="io.write_file",
                )
            ),
        ),
        "io.write_file",
    ),
    "function of TensorFlow in .h5": (
        lambda f: legacy_h5(f, old("TFOpLambda", function="io.read_file")),
        "io.read_file",
    ),
    "class under another name": (
        lambda f: archive(f, functional(layer("LayerScale", registered="Lambda", **LAMBDA))),
        "LayerScale of builtins as Lambda",
    ),
    "registered name beside another module": (
        lambda f: archive(
            f,
            functional(
                {"class_name": "atrous>ResizeLike", "registered_name": None, "module": "os", "config": {}}
            ),
        ),
        "atrous>ResizeLike of os",
    ),
    "two formats at once": (lambda f: _two_formats(f), "holds code"),
    "graph in a layer": (
        lambda f: archive(f, functional(layer("TFSMLayer", filepath="/tmp/x"))),
        "holds code",
    ),
    "file that a layer reads": (
        lambda f: archive(f, functional(layer("StringLookup", vocabulary="/etc/passwd"))),
        "reads files",
    ),
    "loss of another module": (
        lambda f: archive(f, functional(compile_config={"loss": layer("Popen", "subprocess")})),
        "Popen of subprocess",
    ),
    "optimizer in .h5": (
        lambda f: legacy_h5(
            f,
            old("Dense"),
            training_config={"optimizer_config": {"class_name": "os>system", "config": PROCESS}},
        ),
        "os>system",
    ),
    "class name that is no text": (
        lambda f: archive(f, functional({"class_name": {}, "config": {}})),
        "named by",
    ),
    "nested to the stack's end": (
        lambda f: archive(f, '{"a":' + "[" * 200_000 + "]" * 200_000 + "}"),
        "RecursionError",
    ),
    "nested deep": (lambda f: archive(f, '{"a":' + "[" * 700 + "]" * 700 + "}"), "levels deep"),
    "configuration that is a list": (lambda f: archive(f, "[]"), "not an object"),
    "configuration that is no JSON": (lambda f: archive(f, b"\xff\xfe"), r"config\.json"),
    "path upwards": (lambda f: archive(f, members=[("../hurt", "x")]), "no model needs"),
    "absolute path": (lambda f: archive(f, members=[("/tmp/hurt", "x")]), "no model needs"),
    "path of Windows": (lambda f: archive(f, members=[("..\\hurt", "x")]), "no model needs"),
    "assets": (lambda f: archive(f, members=[("assets/layers/x/vocabulary.txt", "x")]), "no model needs"),
    "link in the archive": (link_member, "link or a special file"),
    "name twice": (lambda f: archive(f, members=[("config.json", json.dumps(functional()))]), "twice"),
    "encrypted": (encrypted, "encrypted"),
    "compressed by another method": (lambda f: archive(f, method=zipfile.ZIP_LZMA), "method 14"),
    "twenty thousand members": (many_members, "members"),
    "zip bomb of weights": (zip_bomb, "claims"),
    "zip bomb of configuration": (lambda f: zip_bomb(f, "config.json"), "claims"),
    "longer than it says": (overlong_member, r"model\.keras"),
    "without weights": (lambda f: _without(f, "model.weights.h5"), "holds no"),
    "cut off": (lambda f: _cut(archive(f)), "list of members"),
    "weights that point elsewhere": (
        lambda f: archive(
            f, weights=hdf5_bytes(f, lambda h: h.update({"a": h5py.ExternalLink("/etc/x.h5", "a")}))
        ),
        "link to somewhere else",
    ),
    "weights that lie elsewhere": (
        lambda f: archive(
            f,
            weights=hdf5_bytes(
                f, lambda h: h.create_dataset("a", (9,), "f4", external=[("/etc/passwd", 0, 36)])
            ),
        ),
        "lie in another file",
    ),
    "huge declared shape": (
        lambda f: archive(
            f,
            weights=hdf5_bytes(f, lambda h: h.create_dataset("a", (1 << 31, 1 << 20), "f4", chunks=(64, 64))),
        ),
        "claims",
    ),
    "many arrays that claim a little each": (
        lambda f: archive(
            f,
            weights=hdf5_bytes(
                f,
                lambda h: [
                    h.create_dataset(f"a{n}", (1 << 18,), "f4", chunks=(1 << 10,)) for n in range(300)
                ],
            ),
        ),
        "its arrays claim",
    ),
    "huge piece": (
        lambda f: archive(
            f,
            weights=hdf5_bytes(
                f,
                lambda h: h.create_dataset(
                    "a", (4, 4), "f4", chunks=(1 << 14, 1 << 14), maxshape=(None, None)
                ),
            ),
        ),
        "pieces of",
    ),
    "filter of another library": (lambda f: archive(f, weights=_foreign_filter(f)), "filter 32015"),
    "compound values": (
        lambda f: archive(
            f, weights=hdf5_bytes(f, lambda h: h.create_dataset("a", (2,), [("x", "f4"), ("y", "i4")]))
        ),
        "not numbers",
    ),
    "references": (
        lambda f: archive(f, weights=hdf5_bytes(f, lambda h: h.create_dataset("a", (2,), h5py.ref_dtype))),
        "not numbers",
    ),
    "texts of any length": (
        lambda f: archive(
            f, weights=hdf5_bytes(f, lambda h: h.create_dataset("a", (2,), h5py.string_dtype()))
        ),
        "not numbers",
    ),
    "named type": (
        lambda f: archive(f, weights=hdf5_bytes(f, lambda h: h.update({"a": np.dtype("f4")}))),
        "neither a group nor an array",
    ),
    "model that is a pickle": (
        lambda f: _write(f / "model.keras", b"\x80\x04cos\nsystem\n."),
        "list of members",
    ),
    "nothing but a name": (lambda f: _write(f / "model.keras", b""), "list of members"),
    "folder without a graph": (lambda f: f, "saved_model"),
    "graph that is no message": (lambda f: _saved_model(f, b"\xff" * 99), "DecodeError"),
}


def numbered(folder, key, **options):
    """A `.weights.h5` file with one array that has no place there."""
    path = folder / "x.weights.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("layers/dense/vars")
        group.attrs["name"] = "dense"
        group.create_dataset(key, **options)
    return path


def tensors(folder, header, data=b"", length=None):
    """A `.safetensors` file."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    size = len(text) if length is None else length
    return _write(folder / "x.safetensors", struct.pack("<Q", size) + text + data)


def entry(shape, start, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


WEIGHTS = {
    "pickle": (lambda f: _write(f / "x.pth", b"\x80\x02}q\x00."), "save_file"),
    "pickle in an archive": (lambda f: _torch_archive(f), "save_file"),
    "header of a terabyte": (lambda f: tensors(f, b"{}", length=1 << 40), r"x\.safetensors"),
    "header that is longer than the file": (lambda f: tensors(f, b"{}", length=1 << 20), r"x\.safetensors"),
    "header of a hundred megabytes": (lambda f: tensors(f, b"{" + b" " * (99 << 20) + b"}"), "header"),
    "header nested deep": (
        lambda f: tensors(f, b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        r"x\.safetensors",
    ),
    "arrays that overlap": (
        lambda f: tensors(f, {"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, bytes(12)),
        r"x\.safetensors",
    ),
    "arrays with a gap": (
        lambda f: tensors(f, {"a": entry([1], 0, 4), "b": entry([1], 8, 12)}, bytes(12)),
        r"x\.safetensors",
    ),
    "array beyond the end": (
        lambda f: tensors(f, {"a": entry([1 << 20], 0, 4 << 20)}, bytes(8)),
        r"x\.safetensors",
    ),
    "shape that overflows": (
        lambda f: tensors(f, {"a": entry([1 << 33, 1 << 31], 0, 8)}, bytes(8)),
        r"x\.safetensors",
    ),
    "shape of nothing, huge": (lambda f: tensors(f, {"a": entry([0, 1 << 62], 0, 0)}), "empty|x.safetensors"),
    "dtype without a meaning": (
        lambda f: tensors(f, {"a": entry([2], 0, 2, "F8_E5M2")}, bytes(2)),
        r"x\.safetensors",
    ),
    "name twice in the header": (
        lambda f: tensors(
            f,
            b'{"a":'
            + json.dumps(entry([1], 0, 4)).encode()
            + b',"a":'
            + json.dumps(entry([1], 0, 4)).encode()
            + b"}",
            b"\0\0\xc0\x7f",
        ),
        r"x\.safetensors",
    ),
    "compound weights": (lambda f: numbered(f, "0", shape=(2,), dtype=[("x", "f4")]), "not numbers"),
    "huge shape of weights": (
        lambda f: numbered(f, "0", shape=(1 << 40,), dtype="f4", chunks=(1 << 10,)),
        "claims",
    ),
    "huge piece of weights": (
        lambda f: numbered(f, "0", shape=(4,), dtype="f4", chunks=(1 << 29,), maxshape=(None,)),
        "pieces of",
    ),
    "weights beside a layer": (
        lambda f: numbered(f, "kernel", shape=(2,), dtype="f4"),
        "belongs to no layer",
    ),
}


def _write(path, content):
    path.write_bytes(content)
    return path


def _two_formats(folder):
    """A harmless model in HDF5, with an archive behind it that Keras would take instead."""
    harmless = legacy_h5(folder, old("Dense", units=1)).read_bytes()
    harmful = archive(folder, functional(layer("Lambda", **LAMBDA)))
    return _write(harmful, harmless + harmful.read_bytes())


def _cut(path):
    return _write(path, path.read_bytes()[:-30])


def _without(folder, name):
    path = folder / "model.keras"
    with zipfile.ZipFile(path, "w") as file:
        for member in {"config.json", "model.weights.h5"} - {name}:
            file.writestr(member, json.dumps(functional()))
    return path


def _torch_archive(folder):
    path = folder / "x.pt"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", b"\x80\x02}q\x00.")
    return path


def _saved_model(folder, content):
    (folder / "keras_metadata.pb").write_bytes(b"")
    _write(folder / "saved_model.pb", content)
    return folder


def _foreign_filter(folder):
    """Data that only a plugin of HDF5 could unpack: Zstandard's number."""

    def fill(file):
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_chunk((64,))
        properties.set_deflate(1)
        h5py.h5d.create(file.id, b"a", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((64,)), properties)
        file["a"].id.write_direct_chunk((0,), zlib.compress(bytes(256)))

    content = hdf5_bytes(folder, fill)
    # The pipeline message: version 1 with one filter, number 1 = deflate.
    place = content.find(b"\x01\x01\x00\x00\x00\x00\x00\x00\x01\x00")
    assert place > 0
    return content[: place + 8] + struct.pack("<H", 32015) + content[place + 10 :]
