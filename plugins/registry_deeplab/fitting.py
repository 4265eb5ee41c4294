"""Whether a configuration is the network that a file's weights are of, in what the file does not show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from registry.errors import WeightsMismatchError

__all__ = ["misfit"]


def misfit(config: Any, whose: str, needed: Mapping[str, Any]) -> WeightsMismatchError | None:
    """Compare a configuration with what a network is known to be.

    Args:
        config: `DeepLabV3Config` or `DeepLabV3PlusConfig`.
        whose: name of the network.
        needed: key of the configuration, with a point before that of a section → value.

    Returns:
        The error that says which keys differ; None if none does.
    """
    different = {key: value for key, value in needed.items() if _value(config, key) != value}
    if not different:
        return None
    return WeightsMismatchError(
        f"the weights of {whose} need the network that it is: " + _listed(needed),
        received=_listed({key: _value(config, key) for key in different}),
        repair=f"in the preset's `architecture`, set {_listed(different)}; "
        "or load its encoder alone: encoder_weights=…",
    )


def _value(config: Any, key: str) -> Any:
    for name in key.split("."):
        config = getattr(config, name)
    return config


def _listed(values: Mapping[str, Any]) -> str:
    """As YAML has them."""
    return ", ".join(
        f"{key}: {str(value).lower() if isinstance(value, bool) else value}" for key, value in values.items()
    )
