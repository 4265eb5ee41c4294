"""`load_model`: a model that Keras saved, read only after it has been seen to hold no code."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py

from registry.assembly.vetting import check_configuration
from registry.backend import keras
from registry.errors import WeightsError, WeightsFormatError
from registry.weights.archives import malformed as malformed_archive
from registry.weights.archives import parse_json, read_config, unpacked_weights
from registry.weights.hdf5 import check_file, reading, text_attribute

__all__ = ["load_model"]

_LARGEST_GRAPH = 1 << 30
# Operations that reach out of the computation: into files, other processes, or Python.
_REACHING_OUT = frozenset(
    [
        *(
            "ReadFile",
            "WriteFile",
            "MatchingFiles",
            "WholeFileReader",
            "WholeFileReaderV2",
            "FixedLengthRecordReader",
        ),
        *(
            "FixedLengthRecordReaderV2",
            "TextLineReader",
            "TextLineReaderV2",
            "TFRecordReader",
            "TFRecordReaderV2",
        ),
        *(
            "TextLineDataset",
            "TFRecordDataset",
            "TFRecordDatasetV2",
            "FixedLengthRecordDataset",
            "LoadDataset",
        ),
        *(
            "FixedLengthRecordDatasetV2",
            "SaveDataset",
            "SaveDatasetV2",
            "DatasetFromGraph",
            "SnapshotDataset",
        ),
        *(
            "SnapshotDatasetV2",
            "CSVDataset",
            "CSVDatasetV2",
            "SqlDataset",
            "LoadDatasetV2",
            "DebugIdentityV2",
        ),
        *(
            "PyFunc",
            "PyFuncStateless",
            "EagerPyFunc",
            "GeneratorDataset",
            "RpcCall",
            "RpcServer",
            "RpcClient",
        ),
        *("Save", "SaveSlices", "Restore", "RestoreSlice", "PrintV2", "InitializeTableFromTextFile"),
        *("InitializeTableFromTextFileV2", "ImmutableConst", "LoadAndRemapMatrix", "GenerateVocabRemapping"),
        *(
            "CollectiveReduce",
            "CreateSummaryFileWriter",
            "CreateSummaryDbWriter",
            "WriteSummary",
            "DecodeProtoV2",
        ),
        *("TPUReplicate", "RegisterDataset", "RegisterDatasetV2", "DataServiceDataset", "RemoteCall"),
    ]
)


def load_model(path: str | os.PathLike[str]) -> Any:
    """Load a `.keras` file, a `.h5` file or a SavedModel folder that a model was saved to.

    Nothing of it is made before it has been looked at as data. Its configuration may name tf-keras's own layers, as
    far as they carry no code, and classes that code of yours has registered; `Lambda` layers, functions of TensorFlow
    that do more than compute, and classes of any other module are refused. Its archive holds three files and its HDF5
    file nothing that lies elsewhere or claims more than there is. A SavedModel holds graphs, which are programs of
    TensorFlow operations: those that read or write files, call Python or reach other machines are refused.

    Args:
        path: of the file or folder.

    Returns:
        The model.

    Raises:
        WeightsFormatError: nothing is there, it is damaged, it holds code, or it names what is not known here.
    """
    saved = Path(path)
    try:
        if saved.is_dir():
            _check_saved_model(saved)
        elif str(saved).endswith(".keras") and zipfile.is_zipfile(saved):
            # Asked as Keras asks, and first: a file can be an archive and HDF5 at once.
            _check_archive(saved)
        elif saved.is_file() and h5py.is_hdf5(saved):
            _check_h5(saved)
        else:
            _refuse(saved)
        return keras.models.load_model(os.fspath(saved), safe_mode=True)
    except WeightsError:
        raise
    except Exception as error:
        raise WeightsFormatError(
            "a saved model is a .keras file, a .h5 file or a SavedModel folder written by model.save",
            received=f"{saved}: {type(error).__name__}: {error}",
            repair="save the model again, with the same plugins installed",
        ) from error


def _refuse(path: Path) -> None:
    read_config(path)  # says what is wrong with it
    raise _malformed(path, "the name of an archive must end in .keras")


def _check_archive(path: Path) -> None:
    check_configuration(path, read_config(path))
    with unpacked_weights(path) as weights:
        check_file(weights, lambda _, why: malformed_archive(path, why))


def _check_h5(path: Path) -> None:
    check_file(path, _malformed)
    with reading(path, _malformed) as file:
        texts = {
            name: text_attribute(path, file, name, _malformed) for name in ("model_config", "training_config")
        }
    if texts["model_config"] is None:
        raise _malformed(path, "it holds weights without a model: pass it as weights=… to registry.build")
    for name, text in texts.items():
        if text is not None:
            check_configuration(path, parse_json(text, path, name))


def _check_saved_model(folder: Path) -> None:
    graph = folder / "saved_model.pb"
    if not graph.is_file():
        raise _malformed(folder, "the folder holds no saved_model.pb")
    for operation in sorted(_operations(_message(graph, "tensorflow.SavedModel"))):
        if operation in _REACHING_OUT:
            raise WeightsFormatError(
                "the graphs of a SavedModel compute, and do nothing else",
                received=f"{graph}: the operation {operation}",
                repair="save the model without it; a .keras file holds no graphs",
            )
    metadata = folder / "keras_metadata.pb"
    if not metadata.is_file():
        raise _malformed(folder, "it holds no keras_metadata.pb, so it was not written by model.save")
    for node in _message(metadata, "third_party.tensorflow.python.keras.protobuf.SavedMetadata").nodes:
        check_configuration(folder, parse_json(node.metadata, folder, f"keras_metadata.pb, {node.node_path}"))


def _message(path: Path, name: str) -> Any:
    """A file as a message of Protocol Buffers, of a kind that TensorFlow or Keras has declared."""
    from google.protobuf import symbol_database

    size = path.stat().st_size
    if size > _LARGEST_GRAPH:
        raise _malformed(path, f"it has {size:,} bytes")
    message = symbol_database.Default().GetSymbol(name)()
    message.ParseFromString(path.read_bytes())
    return message


def _operations(saved_model: Any) -> set[str]:
    graphs = [meta.graph_def for meta in saved_model.meta_graphs]
    return {node.op for graph in graphs for node in _nodes(graph)}


def _nodes(graph: Any) -> Iterator[Any]:
    yield from graph.node
    for function in graph.library.function:
        yield from function.node_def


def _malformed(path: Path, why: str) -> WeightsFormatError:
    return WeightsFormatError(
        "a saved model is a .keras file, a .h5 file or a SavedModel folder written by model.save",
        received=f"{path}: {why}",
        repair="save the model again, with the same plugins installed",
    )
