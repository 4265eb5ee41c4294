"""Formulas written out with whole arrays, for what is computed in parts elsewhere."""

import numpy as np


def bilinear(scores, size):
    """(h, w) or (h, w, classes) → size: every pixel on its own, half-pixel centres, edges repeated; float64."""

    def weights(source, target):
        matrix = np.zeros((target, source))
        for index in range(target):
            position = min(max((index + 0.5) * source / target - 0.5, 0), source - 1)
            lower = int(position)
            matrix[index, lower] += 1 - (position - lower)
            matrix[index, min(lower + 1, source - 1)] += position - lower
        return matrix

    rows, columns = weights(scores.shape[0], size[0]), weights(scores.shape[1], size[1])
    return np.einsum("rh,hw...,sw->rs...", rows, scores, columns, optimize=True)
