"""Plugins that were imported: their hooks as methods, and whose fault it is when one raises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import pluggy
from pydantic import BaseModel

from registry.architecture import (
    ArchitectureConfig,
    ArchitectureSpec,
    SegmenterArguments,
    SegmenterWeights,
)
from registry.discovery.blame import blaming, broken
from registry.discovery.index import Claim
from registry.discovery.records import PluginRecord
from registry.errors import RegistryError, UnknownEncoderError, nearest
from registry.pyramid import EncoderSpec
from registry.sketch import Block, SketchArguments
from registry.stores import Store

__all__ = ["LoadedArchitecture", "LoadedPlugin", "LoadedStore", "Plugin"]

# Method of a store → what it is called for.
_DEEDS = {
    "names_file": "tell files from folders",
    "fetch_file": "fetch a file",
    "fetch_directory": "fetch the files of a folder",
    "look": "look for files",
    "title": "name a folder",
    "foreign_cache": "say where its cache is",
}


@dataclass(frozen=True, eq=False, kw_only=True)
class Plugin:
    """An imported plugin whose hooks were checked, whatever it offers.

    Each plugin has a hook manager of its own: calling one plugin never runs another's code.

    Args:
        record: where the plugin comes from.
    """

    record: PluginRecord
    _claim: Claim = field(repr=False)
    _hooks: pluggy.HookRelay = field(repr=False)

    @property
    def origin(self) -> str:
        """Plugin, distribution and version, for messages: `plugin 'resnet' (atrous 0.1.0)`."""
        return self._claim.origin

    def preset_roots(self) -> list[Path]:
        """Folders with presets that the plugin contributes, existing or not.

        Raises:
            BrokenPluginError: its hook raised (chained) or returned something other than absolute paths.
        """
        with blaming(self._claim, "must name its preset roots without raising"):
            answers = [
                answer if isinstance(answer, str | PathLike) else list(answer)
                for answer in self._hooks.registry_preset_roots()
            ]
        roots: dict[Path, None] = {}
        for answer in answers:
            # A bare path is a forgotten pair of brackets; iterating a string would give its letters.
            if not isinstance(answer, list) or not all(isinstance(root, str | PathLike) for root in answer):
                raise broken(self._claim, "must return its preset roots as a list of paths", repr(answer))
            roots.update(dict.fromkeys(Path(root) for root in answer))
        relative = [str(root) for root in roots if not root.is_absolute()]
        if relative:
            raise broken(self._claim, "must give its preset roots as absolute paths", ", ".join(relative))
        return list(roots)

    def quantization_rules(self) -> dict[type, Any]:
        """Layer class → rule, of the plugin's own layers.

        Raises:
            BrokenPluginError: its hook raised (chained) or returned something else.
        """
        with blaming(self._claim, "must give its quantization rules without raising", passing=RegistryError):
            answers = self._hooks.registry_quantization_rules()
        rules: dict[type, Any] = {}
        for answer in answers:
            if not isinstance(answer, Mapping) or not all(isinstance(key, type) for key in answer):
                raise broken(self._claim, "must return its quantization rules by layer class", repr(answer))
            rules.update(answer)
        return rules


@dataclass(frozen=True, eq=False, kw_only=True)
class LoadedPlugin(Plugin):
    """An imported encoder plugin whose hooks and descriptions were checked.

    Args:
        encoders: its encoder variants by name.
    """

    encoders: Mapping[str, EncoderSpec]

    def encoder(self, variant: str) -> EncoderSpec:
        """Describe one encoder variant.

        Raises:
            UnknownEncoderError: the plugin has no such variant; names the nearest ones.
        """
        if variant not in self.encoders:
            raise UnknownEncoderError(
                f"{self.origin} offers no encoder variant of that name",
                received=variant,
                repair=nearest(variant, self.encoders),
            )
        return self.encoders[variant]

    def build(self, variant: str, inputs: Any, output_stride: int, options: BaseModel) -> dict[str, Any]:
        """Let the plugin extend the graph that starts at `inputs` by one encoder.

        Args:
            variant: one of `encoders`.
            inputs: `KerasTensor` of shape (batch, height, width, 3), already normalized.
            output_stride: one of the variant's output strides.
            options: instance of the variant's options model.

        Returns:
            `KerasTensor` per level, not yet held against the pyramid contract.

        Raises:
            UnknownEncoderError: the plugin has no such variant.
            BrokenPluginError: its builder raised (chained) or did not return a mapping. A `RegistryError` of
                the builder passes unchanged: it already says what to do.
        """
        self.encoder(variant)
        with blaming(self._claim, f"must build encoder {variant!r} without raising", passing=RegistryError):
            levels = self._hooks.registry_build_encoder(
                variant=variant, inputs=inputs, output_stride=output_stride, options=options
            )
        if not isinstance(levels, Mapping):
            raise broken(
                self._claim,
                f"must return a mapping of levels to tensors for encoder {variant!r}",
                repr(levels),
            )
        return dict(levels)

    def convert_weights(
        self, variant: str, source: str, arrays: Mapping[str, Sequence[Any]], options: Any = None
    ) -> Mapping[str, Sequence[Any]]:
        """Let the plugin name and arrange the arrays of a weight source as its layers have them.

        Args:
            variant: one of `encoders`.
            source: a key of its `weights`, or the handle or path that the user gave.
            arrays: what the source holds, in its own names.
            options: what the encoder was built with, if that is known.

        Returns:
            Layer name → arrays in the order of the layer's variables; `arrays` itself if nothing is to be converted.

        Raises:
            UnknownEncoderError: the plugin has no such variant.
            BrokenPluginError: its hook raised (chained) or returned something else. A `RegistryError` of the
                hook passes unchanged.
        """
        self.encoder(variant)
        with blaming(
            self._claim, f"must convert weights of {variant!r} without raising", passing=RegistryError
        ):
            converted = self._hooks.registry_convert_weights(
                variant=variant, source=source, arrays=arrays, options=options
            )
        if converted is None:
            return arrays
        if not isinstance(converted, Mapping):
            raise broken(
                self._claim,
                f"must return a mapping of layers to arrays, or None, for weights of {variant!r}",
                type(converted).__name__,
            )
        wrong = [name for name, values in converted.items() if not _is_list_of_arrays(values)]
        if wrong:
            raise broken(
                self._claim,
                f"must return a list of arrays per layer for weights of {variant!r}",
                ", ".join(f"{name}: {type(converted[name]).__name__}" for name in wrong[:12]),
            )
        return converted


@dataclass(frozen=True, eq=False, kw_only=True)
class LoadedArchitecture(Plugin):
    """An imported architecture plugin whose hooks and description were checked.

    Args:
        spec: the architecture that its entry point is named after.
    """

    spec: ArchitectureSpec

    def build(self, encoder: Any, config: ArchitectureConfig, arguments: SegmenterArguments) -> Any:
        """Let the plugin extend the encoder's graph to a segmenter.

        Args:
            encoder: functional model with `pyramid_outputs`.
            config: instance of the spec's `section`.
            arguments: classes, activation, preprocessor and name.

        Returns:
            What the plugin delivers, not yet held against the contract.

        Raises:
            BrokenPluginError: its builder raised (chained). A `RegistryError` passes unchanged: it already says what
                to do.
        """
        with blaming(self._claim, "must build a segmenter without raising", passing=RegistryError):
            return self._hooks.registry_build_segmenter(
                architecture=self.spec.name, encoder=encoder, config=config, arguments=arguments
            )

    def sketch(self, config: ArchitectureConfig, arguments: SketchArguments) -> tuple[Block, ...] | None:
        """Let the plugin say what the architecture consists of.

        Args:
            config: instance of the spec's `section`.
            arguments: the encoder's levels, classes and input size.

        Returns:
            Blocks, each of which reads levels and blocks before it; None if the plugin says nothing.

        Raises:
            BrokenPluginError: its hook raised (chained) or returned something else. A `RegistryError` of the hook
                passes unchanged.
        """
        with blaming(self._claim, "must sketch a segmenter without raising", passing=RegistryError):
            answer = self._hooks.registry_sketch_segmenter(
                architecture=self.spec.name, config=config, arguments=arguments
            )
            blocks = None if answer is None else tuple(answer)
        if blocks is None:
            return None
        known = set(arguments.strides)
        for block in blocks:
            if not isinstance(block, Block):
                raise broken(self._claim, "must sketch a segmenter with registry.sketch.Block", repr(block))
            unknown = sorted(set(block.inputs) - known)
            if unknown or not block.inputs or block.name in known:
                raise broken(
                    self._claim,
                    "must sketch blocks that have names of their own and read levels or blocks before them",
                    f"block {block.name!r} reads {', '.join(unknown or block.inputs) or 'nothing'}",
                )
            known.add(block.name)
        return blocks or None

    def convert_weights(
        self, config: ArchitectureConfig, arrays: Mapping[str, Sequence[Any]]
    ) -> SegmenterWeights | None:
        """Let the plugin take the weights of a whole model of another project apart.

        Args:
            config: instance of the spec's `section`.
            arrays: what the source holds, in its own names.

        Returns:
            The parts; None if the plugin does not know the names.

        Raises:
            BrokenPluginError: its hook raised (chained) or returned something else. A `RegistryError` of the hook
                passes unchanged.
        """
        with blaming(self._claim, "must convert weights without raising", passing=RegistryError):
            parts = self._hooks.registry_convert_segmenter_weights(
                architecture=self.spec.name, config=config, arrays=arrays
            )
        if parts is not None and not isinstance(parts, SegmenterWeights):
            raise broken(
                self._claim, "must return SegmenterWeights, or None, for weights", type(parts).__name__
            )
        return parts


@dataclass(frozen=True, eq=False, kw_only=True)
class LoadedStore(Plugin):
    """An imported store.

    Args:
        store: what serves handles of the scheme that its entry point is named after.
    """

    store: Store

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the store.

        Args:
            method: its name.
            *arguments: what it is given.

        Raises:
            BrokenPluginError: it raised what a store may not (chained), or fetched nothing. A `RegistryError` passes
                unchanged: it already says what to do.
        """
        with blaming(self._claim, f"must {_DEEDS[method]} without raising", passing=RegistryError):
            answer = getattr(self.store, method)(*arguments)
        if method.startswith("fetch_") and not (isinstance(answer, str | PathLike) and Path(answer).exists()):
            raise broken(self._claim, f"must {_DEEDS[method]}, and return a path that exists", repr(answer))
        return answer


def _is_list_of_arrays(values: object) -> bool:
    return isinstance(values, list | tuple) and all(hasattr(value, "shape") for value in values)
