"""Output stride: late strides of a network become atrous rates (arXiv:1706.05587, section 3.1).

Where the output stride is reached, a strided operation runs at stride 1 with the rate so far, and everything after
it at that rate times its stride. Subsampled, the features equal the strided network's.

`AtrousSchedule` is for whoever writes a network; `with_output_stride` dilates one that exists.
"""

from __future__ import annotations

from dataclasses import dataclass

from registry.models.surgery import pyramid_of_graph, with_output_stride

__all__ = ["AtrousSchedule", "Sampling", "pyramid_of_graph", "with_output_stride"]


@dataclass(frozen=True)
class Sampling:
    """How one stage samples.

    Args:
        stride: of the operation that the undilated network strides.
        rate_in: atrous rate of that operation.
        rate_out: atrous rate of everything after it.
    """

    stride: int = 1
    rate_in: int = 1
    rate_out: int = 1


class AtrousSchedule:
    """Turns a network's strides, told in order, into strides and atrous rates that keep to an output stride.

    Args:
        output_stride: ratio of input size to the deepest feature map; None leaves every stride.
        early: give the operation that loses its stride the rate of what follows it. Subsampled features then differ
            from the strided network's; some projects trained their networks so.
    """

    def __init__(self, output_stride: int | None, *, early: bool = False) -> None:
        self.output_stride = output_stride
        self.early = early
        self.stride = 1
        self.rate = 1

    def next(self, stride: int = 1) -> Sampling:
        """Sampling of the next operation that has this stride in the undilated network."""
        rate_in = self.rate
        if self.output_stride is not None and self.stride * stride > self.output_stride:
            self.rate *= stride
            return Sampling(1, self.rate if self.early else rate_in, self.rate)
        self.stride *= stride
        return Sampling(stride, rate_in, rate_in)
