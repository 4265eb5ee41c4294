"""What TFLite's GPU delegate takes, by the rules it publishes.

`tf.lite.experimental.Analyzer(gpu_compatibility=True)` was meant to tell, but in TensorFlow 2.21 and ai-edge-litert
2.3 it calls every file compatible, ARG_MAX and TOPK_V2 included. So the rules of the delegate's own check
(`gpu_compatibility.cc`) that can concern a segmentation network are written down here.
"""

from __future__ import annotations

from registry.inspection.model import OperationInfo

__all__ = ["gpu_obstacle"]

_NAMES = """
    ABS ADD ADD_N ATAN2 AVERAGE_POOL_2D BATCH_MATMUL CAST CEIL CONCATENATION CONV_2D COS CUMSUM DENSIFY
    DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE DIV DYNAMIC_UPDATE_SLICE ELU EMBEDDING_LOOKUP EQUAL EXP FLOOR
    FLOOR_DIV FLOOR_MOD FULLY_CONNECTED GATHER GELU GREATER GREATER_EQUAL HARD_SWISH LEAKY_RELU LESS LESS_EQUAL LOG
    LOGICAL_AND LOGISTIC LSTM MAXIMUM MAX_POOL_2D MEAN MINIMUM MIRROR_PAD MUL NEG NOT_EQUAL ONE_HOT PACK PAD PADV2
    POW PRELU QUANTIZE REDUCE_MAX REDUCE_MIN REDUCE_PROD RELU RELU6 RELU_N1_TO_1 RESHAPE RESIZE_BILINEAR
    RESIZE_NEAREST_NEIGHBOR RSQRT SELECT SELECT_V2 SIGN SIN SLICE SOFTMAX SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE
    SQUARED_DIFFERENCE STRIDED_SLICE SUB SUM TANH TILE TRANSPOSE TRANSPOSE_CONV
"""
_SUPPORTED = frozenset(_NAMES.split())
_VALUES = ("float32", "float16", "int8", "uint8")
_CASTS = {("bool", "float16"), ("bool", "float32"), ("float16", "bool"), ("float32", "bool")}
_CASTS |= {(source, target) for source in ("float32", "int32") for target in ("float32", "int32")}


def gpu_obstacle(operation: OperationInfo) -> str | None:
    """Why the GPU delegate refuses an operation.

    Args:
        operation: what `inspect_model` says about it.

    Returns:
        The reason; None if it takes the operation.
    """
    if operation.name.startswith("CUSTOM"):
        return "custom operations are not supported"
    if operation.name not in _SUPPORTED:
        return "this operation is not supported"
    if -1 in operation.output_shape or -1 in operation.input_shape:
        return "shapes must be fixed"
    if len(operation.output_shape) > 5 or (len(operation.output_shape) == 5 and operation.macs):
        return f"rank {len(operation.output_shape)} is not supported"
    return _type_obstacle(operation)


def _type_obstacle(operation: OperationInfo) -> str | None:
    source, target = operation.input_dtype, operation.output_dtype
    if operation.activation == "SIGN_BIT":
        return "the fused activation SIGN_BIT is not supported"
    if operation.name == "CAST":
        return None if (source, target) in _CASTS else f"casts from {source} to {target} are not supported"
    if "int16" in (source, target) or (operation.macs and source not in _VALUES):
        return f"values of type {source} are not supported"
    return None
