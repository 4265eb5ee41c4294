"""What a saved Keras model may be made of, found out before Keras makes anything of it.

A configuration names classes and functions, and Keras imports and calls what it names: a `Lambda` layer carries Python
bytecode, a class may be of any module on this machine. `safe_mode` stops the bytecode in `.keras` files alone: in
`.h5` files and SavedModels tf-keras runs it. So the names are read as plain data first, and all of them must be known.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from registry.backend import keras
from registry.errors import WeightsFormatError
from registry.models.sampling import PIXELWISE_FUNCTIONS

__all__ = ["check_configuration"]

_NAMESPACES = (
    "activations",
    "constraints",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "optimizers",
    "optimizers.legacy",
    "optimizers.schedules",
    "regularizers",
)
# Public layers that hold code, a graph, or the path of a file that they read.
_NEVER = frozenset(
    ["Lambda", "TFSMLayer", "StringLookup", "IntegerLookup", "TextVectorization", "Hashing", "HashedCrossing"]
)
# Classes without a public name, and the modules that Keras may be told to take them from.
_INTERNAL = {
    "Functional": "engine.functional",
    "Sequential": "engine.sequential",
    "TFOpLambda": "layers.core.tf_op_layer",
    "SlicingOpLambda": "layers.core.tf_op_layer",
    "LayerScale": "applications.convnext",
    "StochasticDepth": "applications.convnext",
    "CustomScaleLayer": "applications.inception_resnet_v2",
    "Policy": "mixed_precision.policy",
    "LossScaleOptimizerV3": "mixed_precision.loss_scale_optimizer",
}
_ROOTS = ("tf_keras.src.", "keras.src.")
# Values, which Keras writes in the same form.
_VALUES = frozenset(["__tensor__", "__numpy__", "__bytes__", "__tuple__", "TensorShape", "TypeSpec"])
# TensorFlow functions that only compute; beside those that treat each pixel alike.
_FUNCTIONS = PIXELWISE_FUNCTIONS | frozenset(
    [
        *("__operators__.getitem", "__operators__.matmul", "concat", "expand_dims", "image.resize"),
        *("linalg.matmul", "math.reduce_max", "math.reduce_mean", "math.reduce_min", "math.reduce_sum"),
        *("nn.bias_add", "nn.convolution", "nn.depth_to_space", "nn.depthwise_conv2d", "nn.space_to_depth"),
        *(
            "reshape",
            "shape",
            "slice",
            "split",
            "squeeze",
            "stack",
            "strided_slice",
            "tile",
            "transpose",
            "unstack",
        ),
        *("compat.v1.shape", "compat.v1.transpose", "compat.v1.squeeze", "compat.v1.expand_dims"),
        *(
            "math.squared_difference",
            "math.l2_normalize",
            "nn.l2_normalize",
            "zeros_like",
            "ones_like",
            "pad",
        ),
    ]
)
_LISTED = 6


def check_configuration(path: Path, config: Mapping[str, Any]) -> None:
    """Refuse a configuration that names anything but what is known to be data.

    Known are the public layers, losses and so on of tf-keras that carry no code, and whatever has been registered in
    this process with `register_keras_serializable`: atrous's classes, and those of packages that have been imported.

    Args:
        path: the file, for messages.
        config: of the model, as plain data.

    Raises:
        WeightsFormatError: it names something else; lists all of it.
    """
    unknown = list(dict.fromkeys(filter(None, map(_objection, _named(config)))))
    if unknown:
        more = f" and {len(unknown) - _LISTED} more" if len(unknown) > _LISTED else ""
        raise WeightsFormatError(
            "a saved model is made of tf-keras's own layers without code, and of classes that were registered by code "
            "of yours: what a file names is run when it is loaded",
            received=f"{path}: {'; '.join(unknown[:_LISTED])}{more}",
            repair="import the package that registers the class first, or rebuild the model in Python and load its "
            "weights alone: model.save_weights('x.h5')",
        )


def _named(config: Any) -> Iterator[Mapping[str, Any]]:
    """Every mapping within a configuration that stands for an object, without recursion."""
    stack = [config]
    while stack:
        item = stack.pop()
        if isinstance(item, Mapping):
            if "class_name" in item or "registered_name" in item:
                yield item
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)


def _objection(item: Mapping[str, Any]) -> str | None:
    """What is wrong with the object that a mapping stands for; None if nothing is."""
    name, module, registered = item.get("class_name"), item.get("module"), item.get("registered_name")
    if not all(part is None or isinstance(part, str) for part in (name, module, registered)) or name is None:
        return f"a class named by {name!r}, {module!r}, {registered!r}"
    shown = name if module is None else f"{name} of {module}"
    if name in _NEVER:
        return f"{shown}, which holds code or reads files"
    # As Keras looks it up: with a module, by the registered name alone, and by the class's where that key is absent.
    key = item.get("registered_name", name) if module else registered or name
    found = keras.saving.get_registered_object(key) or (None if module else _registered_as(name))
    if found:
        holds_code = inspect.isclass(found) and issubclass(found, keras.layers.Lambda)
        return f"{shown}, which holds code" if holds_code else None
    return _builtin_objection(item, name, shown)


def _builtin_objection(item: Mapping[str, Any], name: str, shown: str) -> str | None:
    """The same for what nobody registered: it must be Keras's own."""
    if name == "function":
        return _function_objection(item)
    if item.get("registered_name") not in (None, name):
        # Where a module has no such class, Keras takes what it has under the other name.
        return f"{shown} as {item['registered_name']}"
    if name in ("TFOpLambda", "SlicingOpLambda") and (objection := _operation_objection(item)):
        return objection
    return None if _is_known(name, item.get("module")) else shown


def _is_known(name: str, module: str | None) -> bool:
    if name in _VALUES:
        return module is None
    if name in _INTERNAL and module in tuple(f"{root}{_INTERNAL[name]}" for root in _ROOTS):
        return True
    return module in (None, *_public_modules()) and (name in _public_names() or name in _INTERNAL)


def _registered_as(name: str) -> Any:
    """What is registered under that name in some package, as SavedModels repeat it; None if nothing is."""
    registered = keras.saving.get_custom_objects().items()
    return next((value for key, value in registered if key.rpartition(">")[2] == name), None)


def _function_objection(item: Mapping[str, Any]) -> str | None:
    name, module = item.get("config"), item.get("module")
    if isinstance(name, str) and keras.saving.get_registered_object(name) is not None:
        return None
    if module not in (None, "builtins", *_public_modules()) or name not in _public_names():
        return f"the function {name!r} of {module}"
    return None


def _operation_objection(item: Mapping[str, Any]) -> str | None:
    """A layer that calls a function of TensorFlow by name; among those are some that read and write files."""
    config = item.get("config")
    function = config.get("function") if isinstance(config, Mapping) else None
    return None if function in _FUNCTIONS else f"the TensorFlow function {function!r}"


@cache
def _public_modules() -> frozenset[str]:
    names = {f"keras.{namespace}" for namespace in _NAMESPACES}
    return frozenset(
        {"keras", "keras.models", "keras.mixed_precision", *names, *(f"tf_{name}" for name in names)}
    )


@cache
def _public_names() -> frozenset[str]:
    """Names of all classes and functions that tf-keras offers under the namespaces of data."""
    names: set[str] = {"Sequential", "Model", "Functional"}
    for namespace in _NAMESPACES:
        module: Any = keras
        for part in namespace.split("."):
            module = getattr(module, part)
        names.update(name for name, value in vars(module).items() if callable(value) and name[0] != "_")
    return frozenset(names - _NEVER - {"get", "serialize", "deserialize"})
