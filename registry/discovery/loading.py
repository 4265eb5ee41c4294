"""Import one plugin, hold it against the hook specifications, and keep what goes wrong to itself."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import pluggy
from pydantic import BaseModel

from registry import hookspecs
from registry.architecture import (
    ArchitectureConfig,
    ArchitectureSpec,
    SegmenterArguments,
    SegmenterWeights,
)
from registry.discovery.blame import blaming, broken, one_line
from registry.discovery.index import GROUPS, Claim, Kind
from registry.discovery.records import PluginRecord
from registry.discovery.specs import architecture_violations, spec_violations
from registry.errors import BrokenPluginError, RegistryError, UnknownEncoderError, nearest
from registry.pyramid import EncoderSpec
from registry.sketch import Block, SketchArguments

__all__ = ["Failure", "LoadedArchitecture", "LoadedPlugin", "Plugin", "attempt", "defective"]


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
        self, variant: str, source: str, arrays: Mapping[str, Sequence[Any]]
    ) -> Mapping[str, Sequence[Any]]:
        """Let the plugin name and arrange the arrays of a weight source as its layers have them.

        Args:
            variant: one of `encoders`.
            source: a key of its `weights`, or the handle or path that the user gave.
            arrays: what the source holds, in its own names.

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
            converted = self._hooks.registry_convert_weights(variant=variant, source=source, arrays=arrays)
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


@dataclass(frozen=True)
class Failure:
    """A remembered attempt that failed; the plugin is not imported a second time.

    Args:
        status: how the plugin's record shows it.
        error: what was raised.
    """

    status: Literal["broken", "incompatible"]
    error: BrokenPluginError

    @property
    def summary(self) -> str:
        """The failure in one line."""
        return one_line(f"{self.error.rule}; received: {self.error.received}")

    def again(self) -> BrokenPluginError:
        """A fresh exception with the original cause.

        Raising one instance repeatedly would grow its traceback and mix those of several threads.
        """
        error = BrokenPluginError(self.error.rule, received=self.error.received, repair=self.error.repair)
        error.__cause__ = self.error.__cause__
        return error


class _IncompatiblePluginError(BrokenPluginError):
    """Tells a foreign API version from other breakage; never leaves this module."""


def attempt(claim: Claim) -> Plugin | Failure:
    """Import one plugin and check everything that can be checked without building.

    `KeyboardInterrupt` passes; any other failure, `SystemExit` included, is returned.
    """
    try:
        # The steps blame precisely; this catches what hides elsewhere, such as a raising property or repr.
        with blaming(claim, "must be inspectable without raising", passing=BrokenPluginError):
            return _load(claim)
    except _IncompatiblePluginError as error:
        return Failure("incompatible", error)
    except BrokenPluginError as error:
        return Failure("broken", error)


def defective(claim: Claim) -> BrokenPluginError:
    """The error for a claim whose metadata is malformed."""
    return broken(claim, "must be declared by well-formed metadata", claim.defect)


def _load(claim: Claim) -> Plugin:
    with blaming(claim, "must be importable"):
        plugin = importlib.metadata.EntryPoint(claim.name, claim.module, GROUPS[claim.kind]).load()
    _check_api_version(claim, plugin)
    hooks = _register(claim, plugin)
    record = PluginRecord(
        kind=claim.kind,
        name=claim.name,
        distribution=claim.distribution,
        version=claim.version,
        module=claim.module,
        builtin=claim.builtin,
        status="loaded",
    )
    return _DESCRIBED[claim.kind](claim, record, hooks)


def _check_api_version(claim: Claim, plugin: object) -> None:
    module = sys.modules.get(claim.module.split(":")[0].strip())
    version = getattr(plugin, "REGISTRY_API_VERSION", getattr(module, "REGISTRY_API_VERSION", 1))
    if type(version) is not int:
        raise _IncompatiblePluginError(
            f"{claim.origin} must state REGISTRY_API_VERSION as an int",
            received=repr(version),
            repair=f"write REGISTRY_API_VERSION = {hookspecs.API_VERSION} in {claim.module}",
        )
    if version != hookspecs.API_VERSION:
        outdated = "atrous" if version > hookspecs.API_VERSION else claim.distribution
        raise _IncompatiblePluginError(
            f"{claim.origin} must be written for API version {hookspecs.API_VERSION} of this atrous",
            received=f"REGISTRY_API_VERSION = {version}",
            repair=f"pip install --upgrade {outdated}",
        )


def _register(claim: Claim, plugin: object) -> pluggy.HookRelay:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    known = set(vars(manager.hook))
    with blaming(claim, "must implement hooks with the arguments that registry.hookspecs states"):
        manager.register(plugin, claim.name)
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        misspelt = sorted(set(vars(manager.hook)) - known)
        raise BrokenPluginError(
            f"{claim.origin} must implement only hooks that exist",
            received=", ".join(misspelt),
            repair="; ".join(f"{name}: {nearest(name, known)}" for name in misspelt),
        ) from error
    _check_completeness(claim, plugin, manager.hook, known)
    return manager.hook


def _check_completeness(claim: Claim, plugin: object, hooks: pluggy.HookRelay, known: set[str]) -> None:
    implemented = {name for name in known if getattr(hooks, name).get_hookimpls()}
    unmarked = sorted(name for name in known - implemented if hasattr(plugin, name))
    if unmarked:
        raise broken(
            claim,
            "must mark its hooks, or they are never called",
            f"{', '.join(unmarked)} without a decorator",
            repair="decorate with @registry.hookspecs.hookimpl",
        )
    if not implemented:
        raise broken(
            claim,
            "must implement at least one hook",
            f"{claim.module} implements none",
            repair=f"implement {' and '.join(_PAIRS[claim.kind])} with @registry.hookspecs.hookimpl",
        )
    for kind, pair in _PAIRS.items():
        missing = [name for name in pair if name not in implemented]
        # An encoder plugin may do nothing but contribute presets.
        if len(missing) == 1 or (missing and kind == claim.kind == "architecture"):
            raise broken(
                claim,
                f"must both describe and build its {kind}s",
                f"{missing[0]} is not implemented" if len(missing) == 1 else "neither is implemented",
            )


def _described_encoders(claim: Claim, record: PluginRecord, hooks: pluggy.HookRelay) -> LoadedPlugin:
    with blaming(claim, "must describe its encoders without raising"):
        described = [spec for answer in hooks.registry_encoders() for spec in answer]
    violations = list(spec_violations(described))
    if violations:
        raise broken(
            claim,
            "must describe its encoders correctly",
            "; ".join(violations),
            repair="correct what its registry_encoders hook returns",
        )
    encoders = MappingProxyType({spec.name: spec for spec in described})
    return LoadedPlugin(record=record, encoders=encoders, _claim=claim, _hooks=hooks)


def _described_architecture(
    claim: Claim, record: PluginRecord, hooks: pluggy.HookRelay
) -> LoadedArchitecture:
    with blaming(claim, "must describe its architectures without raising"):
        described = [spec for answer in hooks.registry_architectures() for spec in answer]
        violations = list(architecture_violations(described, claim.name))
    if violations:
        raise broken(
            claim,
            "must describe its architectures correctly",
            "; ".join(violations),
            repair="correct what its registry_architectures hook returns",
        )
    spec = next(spec for spec in described if spec.name == claim.name)
    return LoadedArchitecture(record=record, spec=spec, _claim=claim, _hooks=hooks)


def _is_list_of_arrays(values: object) -> bool:
    return isinstance(values, list | tuple) and all(hasattr(value, "shape") for value in values)


_DESCRIBED: dict[Kind, Callable[[Claim, PluginRecord, pluggy.HookRelay], Plugin]] = {
    "encoder": _described_encoders,
    "architecture": _described_architecture,
}
# What describes and what builds.
_PAIRS: dict[Kind, tuple[str, str]] = {
    "encoder": ("registry_encoders", "registry_build_encoder"),
    "architecture": ("registry_architectures", "registry_build_segmenter"),
}
