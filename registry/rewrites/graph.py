"""The graph that rewrites work on; it lives with the models, which take networks apart as well."""

from __future__ import annotations

from registry.models.graph import Graph, Node, Ref

__all__ = ["Graph", "Node", "Ref"]
