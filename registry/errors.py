"""Everything atrous raises on purpose, and the one warning it emits.

Every message states the rule, the value received and the repair::

    RegistryError
    ├── EnvironmentUnsupportedError      TensorFlow, tf-keras or an extra is absent or out of range
    ├── PluginError                      a plugin cannot serve
    │   ├── UnknownPluginError           no installed distribution offers that name
    │   ├── DuplicatePluginError         two distributions claim one name
    │   ├── BlockedPluginError           switched off by ATROUS_PLUGINS or ATROUS_BLOCK_PLUGINS
    │   └── BrokenPluginError            raised on import, wrong API version, misspelt hook
    ├── UnknownEncoderError              the plugin exists, the variant does not
    ├── PyramidContractError             an encoder did not deliver the pyramid it promised
    ├── SegmenterContractError           an architecture did not deliver a segmenter
    ├── CatalogError                     a preset cannot be read
    │   ├── UnknownPresetError           no preset root holds that name
    │   ├── UnknownRecipeError           no preset root holds a recipe of that name
    │   ├── DuplicatePresetError         two files claim one name
    │   └── ConfigError                  a value breaks the schema; says file, line and column
    ├── LockError                        a lock file cannot be read or written, or lacks what is asked for
    │   └── LockDriftError               what is here is not what was locked
    ├── ModelError                       an argument or an input does not fit the architecture
    ├── WeightsError                     weights cannot be used
    │   ├── WeightsUnavailableError      the handle could not be fetched
    │   ├── WeightsFormatError           the file is corrupt, truncated or of an unknown format
    │   └── WeightsMismatchError         arrays missing, extra or mis-shaped; nothing was assigned
    ├── QuantizationError                a layer or a model cannot be quantized
    ├── CompressionError                 a layer or a model cannot be pruned or clustered
    ├── ExportError                      the model could not become a verified .tflite file
    │   └── CalibrationError             images that would spoil a quantization
    ├── ModelFileError                   a .tflite file that cannot be run
    ├── ImageError                       an image cannot be decoded safely
    ├── DataError                        a data set is not laid out or annotated as it should be
    ├── TrainingError                    a run cannot start, go on or be resumed
    │   └── PeerLostError                another worker of a distributed run is gone
    └── OutputPathError                  a file cannot be written where it was asked for

    RegistryWarning                      something was survived that the user should know of
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = [
    "BlockedPluginError",
    "BrokenPluginError",
    "CalibrationError",
    "CatalogError",
    "CompressionError",
    "ConfigError",
    "DataError",
    "DuplicatePluginError",
    "DuplicatePresetError",
    "EnvironmentUnsupportedError",
    "ExportError",
    "ImageError",
    "LockDriftError",
    "LockError",
    "ModelError",
    "ModelFileError",
    "OutputPathError",
    "PeerLostError",
    "PluginError",
    "PyramidContractError",
    "QuantizationError",
    "RegistryError",
    "RegistryWarning",
    "SegmenterContractError",
    "TrainingError",
    "UnknownEncoderError",
    "UnknownPluginError",
    "UnknownPresetError",
    "UnknownRecipeError",
    "WeightsError",
    "WeightsFormatError",
    "WeightsMismatchError",
    "WeightsUnavailableError",
    "nearest",
]

_NO_VALUE = object()


class RegistryError(Exception):
    """Base of all errors of atrous.

    Args:
        rule: what must hold, as one sentence.
        received: the offending value; shown with `repr` unless it is a string.
        repair: what to do about it.
    """

    def __init__(self, rule: str, *, received: object = _NO_VALUE, repair: str | None = None) -> None:
        self.rule = rule
        self.received = None if received is _NO_VALUE else received
        self.repair = repair
        lines = [rule]
        if received is not _NO_VALUE:
            lines.append(f"  received: {_shorten(received)}")
        if repair:
            lines.append(f"  repair:   {repair}")
        super().__init__("\n".join(lines))


class EnvironmentUnsupportedError(RegistryError, ImportError):
    """A package that this call needs is absent or outside the supported range."""


class PluginError(RegistryError):
    """A plugin cannot serve."""


class UnknownPluginError(PluginError, LookupError):
    """No installed distribution offers a plugin of that name."""


class DuplicatePluginError(PluginError):
    """Two distributions claim one plugin name."""


class BlockedPluginError(PluginError):
    """The plugin is switched off by `ATROUS_PLUGINS` or `ATROUS_BLOCK_PLUGINS`."""


class BrokenPluginError(PluginError):
    """The plugin raised on import, targets another API version or misspells a hook."""


class UnknownEncoderError(RegistryError, LookupError):
    """The plugin exists but offers no encoder variant of that name."""


class PyramidContractError(RegistryError, ValueError):
    """An encoder did not deliver the feature pyramid that it promised."""


class SegmenterContractError(RegistryError, ValueError):
    """An architecture did not deliver a segmenter: logits per class and pixel of the input, in one flat graph."""


class CatalogError(RegistryError):
    """A preset cannot be read."""


class UnknownPresetError(CatalogError, LookupError):
    """No preset root holds a preset of that name."""


class UnknownRecipeError(CatalogError, LookupError):
    """No preset root holds a recipe of that name."""


class DuplicatePresetError(CatalogError):
    """Two files claim the name of one preset or recipe."""


class ConfigError(CatalogError, ValueError):
    """A value in a preset breaks the schema; the message has file, line and column."""


class LockError(RegistryError):
    """A lock file cannot be read or written, or does not have what is asked for."""


class LockDriftError(LockError):
    """What is here is not what was locked; each difference is named, and nothing was built.

    Args:
        rule, received, repair: as in `RegistryError`.
        drifts: every difference, with `what`, `locked`, `found` and `repair`.
    """

    def __init__(self, rule: str, *, received: object, repair: str, drifts: Iterable[object] = ()) -> None:
        super().__init__(rule, received=received, repair=repair)
        self.drifts = tuple(drifts)


class ModelError(RegistryError, ValueError):
    """An argument or an input does not fit the architecture."""


class WeightsError(RegistryError):
    """Weights cannot be used."""


class WeightsUnavailableError(WeightsError, OSError):
    """The weights could not be fetched from where the handle points."""


class WeightsFormatError(WeightsError, ValueError):
    """The weights file is corrupt, truncated or of an unknown format."""


class WeightsMismatchError(WeightsError, ValueError):
    """Arrays are missing, extra or mis-shaped; no variable was changed."""


class CompressionError(RegistryError, ValueError):
    """A layer or a model cannot be pruned or clustered."""


class QuantizationError(RegistryError, ValueError):
    """A layer or a model cannot be quantized; names the layer, the reason and the way out."""


class ExportError(RegistryError):
    """The model could not become a verified `.tflite` file; nothing was written."""


class CalibrationError(ExportError):
    """Calibration images that would spoil a quantization, or none."""


class ModelFileError(RegistryError, ValueError):
    """A `.tflite` file cannot be run: absent, damaged, crashing, or without the tensors of a segmenter."""


class ImageError(RegistryError, ValueError):
    """An image cannot be decoded safely."""


class DataError(RegistryError, ValueError):
    """A data set is not laid out or annotated as it should be."""


class TrainingError(RegistryError):
    """A training run cannot start, go on or be resumed; what it had written stays as it was."""


class PeerLostError(TrainingError):
    """Another worker of a distributed run is gone; what was saved is enough to go on."""


class OutputPathError(RegistryError, OSError):
    """A file cannot be written where it was asked for; whatever was there before is untouched."""


class RegistryWarning(UserWarning):
    """Something was survived that the user should know of."""


def nearest(name: str, known: Iterable[str], *, count: int = 3) -> str:
    """Phrase the close matches of a misspelt name, for the `repair` of an error.

    Args:
        name: what the user wrote.
        known: the names that exist.
        count: the largest number of suggestions.

    Returns:
        `did you mean 'a' or 'b'?` when something is near, else the list of what exists.
    """
    candidates = sorted(set(known))
    folded = {candidate.casefold(): candidate for candidate in candidates}
    matches = get_close_matches(name.casefold(), folded, n=count, cutoff=0.6)
    if matches:
        return "did you mean " + " or ".join(repr(folded[match]) for match in matches) + "?"
    if not candidates:
        return "there is none to choose from"
    shown = ", ".join(candidates[:20])
    more = f" and {len(candidates) - 20} more" if len(candidates) > 20 else ""
    return f"choose one of: {shown}{more}"


def _shorten(value: object) -> str:
    """A value for a message: a report written for people may be longer than the `repr` of anything."""
    text, limit = (value, 2000) if isinstance(value, str) else (repr(value), 500)
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"
