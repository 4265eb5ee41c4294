"""What a plugin may say about what it offers: the check of its specs, before anything is built."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from pydantic import BaseModel, ValidationError

from registry.architecture import ArchitectureConfig, ArchitectureSpec
from registry.errors import nearest
from registry.pyramid import LEVELS, EncoderSpec, Normalization

__all__ = ["architecture_violations", "default_channels", "default_levels", "spec_violations"]


def default_channels(spec: EncoderSpec) -> dict[str, int] | None:
    """Channels per level with default options; None where they need an option without a default."""
    if not callable(spec.channels):
        return dict(spec.channels)
    try:
        options = spec.options()
    except ValidationError:
        return None
    return spec.channels_for(options)


def default_levels(spec: ArchitectureSpec) -> tuple[str, ...] | None:
    """Levels that an architecture reads by default; None where its config has a key without default."""
    try:
        config = spec.section.model_validate({"name": spec.name})
    except ValidationError:
        return None
    return spec.levels_for(config)


def architecture_violations(described: Iterable[object], name: str) -> Iterator[str]:
    """Say everything that is wrong with the architectures that a plugin describes.

    Args:
        described: what the plugin's `registry_architectures` returned.
        name: of the entry point, which one of them must have.

    Yields:
        One sentence per violation; nothing when the descriptions can be relied on.
    """
    seen: list[str] = []
    for item in described:
        if not isinstance(item, ArchitectureSpec):
            yield f"every architecture must be a registry.architecture.ArchitectureSpec, got {item!r}"
            continue
        if item.name in seen:
            yield f"architecture {item.name!r} is described twice"
        seen.append(item.name)
        for violation in _architecture_violations(item):
            yield f"architecture {item.name!r}: {violation}"
    if name not in seen:
        yield f"one must be named {name!r}, as the entry point is; there is {', '.join(map(repr, seen)) or 'none'}"


def _architecture_violations(spec: ArchitectureSpec) -> Iterator[str]:
    config: object = spec.config
    if not isinstance(config, type) or not issubclass(config, ArchitectureConfig):
        yield f"config must be a subclass of registry.architecture.ArchitectureConfig, got {config!r}"
        return
    try:
        levels = default_levels(spec)
    except Exception as error:  # the plugin's own function, or no levels at all
        yield f"levels must be names of pyramid levels, got {type(error).__name__}: {error}"
        return
    if levels == ():
        yield "levels must name at least one level"
    for level in levels or ():
        if level not in LEVELS:
            yield f"level {level!r} does not exist; {nearest(str(level), LEVELS)}"


def spec_violations(described: Iterable[object]) -> Iterator[str]:
    """Say everything that is wrong with the encoders that a plugin describes.

    Args:
        described: what the plugin's `registry_encoders` returned.

    Yields:
        One sentence per violation; nothing when the descriptions can be relied on.
    """
    seen: set[str] = set()
    for item in described:
        if not isinstance(item, EncoderSpec):
            yield f"every encoder must be a registry.pyramid.EncoderSpec, got {item!r}"
            continue
        if not isinstance(item.name, str) or not item.name:
            yield f"an encoder's name must be a non-empty string, got {item.name!r}"
            continue
        if item.name in seen:
            yield f"encoder {item.name!r} is described twice"
        seen.add(item.name)
        for violation in _violations(item):
            yield f"encoder {item.name!r}: {violation}"


def _violations(spec: EncoderSpec) -> Iterator[str]:
    yield from _output_stride_violations(spec.output_strides)
    options_violation = _options_violation(spec.options)
    if options_violation:
        yield options_violation
    else:  # channels may be a function of the options
        yield from _channel_violations(spec)
    if not _is_positive_int(spec.min_size):
        yield f"min_size must be a positive int, got {spec.min_size!r}"
    if not isinstance(spec.normalization, Normalization):
        yield f"normalization must be a registry.pyramid.Normalization, got {spec.normalization!r}"
    if not isinstance(spec.weights, Mapping) or not all(
        isinstance(text, str) for pair in spec.weights.items() for text in pair
    ):
        yield f"weights must map names to handles, got {spec.weights!r}"
    if not isinstance(spec.exclusions, Mapping) or not all(
        isinstance(text, str) and text for pair in spec.exclusions.items() for text in pair
    ):
        yield f"exclusions must map names of checks to reasons, got {spec.exclusions!r}"


def _output_stride_violations(output_strides: object) -> Iterator[str]:
    if not isinstance(output_strides, tuple) or not output_strides:
        yield f"output_strides must be a non-empty tuple, got {output_strides!r}"
        return
    for stride in output_strides:
        if not _is_positive_int(stride) or stride & (stride - 1):
            yield f"an output stride must be a power of two, got {stride!r}"
    if len(set(output_strides)) != len(output_strides):
        yield f"output_strides must not repeat themselves, got {output_strides!r}"


def _options_violation(options: object) -> str | None:
    if not isinstance(options, type) or not issubclass(options, BaseModel):
        return f"options must be a pydantic model class, got {options!r}"
    if options.model_config.get("extra") != "forbid":
        return f"options model {options.__name__} must forbid unknown keys: ConfigDict(extra='forbid')"
    return None


def _channel_violations(spec: EncoderSpec) -> Iterator[str]:
    try:
        channels = default_channels(spec)
    except Exception as error:  # the plugin's own function, or no mapping at all
        yield f"channels must map levels to numbers, got {type(error).__name__}: {error}"
        return
    if channels is None:  # known only once a preset gives the options; checked when it is built
        return
    if not channels:
        yield "channels must name at least one level"
    for level, count in channels.items():
        if level not in LEVELS:
            yield f"level {level!r} does not exist; {nearest(str(level), LEVELS)}"
        if not _is_positive_int(count):
            yield f"channels of {level} must be a positive int, got {count!r}"


def _is_positive_int(value: object) -> bool:
    return type(value) is int and value > 0  # bool is an int, but no count
