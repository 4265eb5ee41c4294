"""Weights: where they come from (handles), how they are written (formats), how they enter a model (assignment)."""
