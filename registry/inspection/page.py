"""The report as one HTML page that needs nothing beside it: no script, no font, no picture from elsewhere."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from registry.inspection.benchmark import BenchmarkReport, Measurement
from registry.inspection.delegates import DelegateReport
from registry.inspection.layers import LayerError
from registry.inspection.markup import Markup, bar, document, element, figure, section, stacked, table, tile
from registry.inspection.model import ModelInspection
from registry.inspection.pictures import Comparison
from registry.inspection.text import count_text, layer_text, shape_text

__all__ = ["Report", "render"]

_SHOWN_LAYERS = 30
_SHOWN_KERNELS = 20
_SHOWN_OPERATIONS = 5000


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything that is known about a file.

    Args:
        inspection: what it consists of.
        delegates: who runs what.
        export: the export's own report, as its `to_dict()` gives it.
        latency: a benchmark in which the file took part.
        pictures: images with the masks of the float model and of the file.
        layers: layers by what quantization loses in them.
    """

    inspection: ModelInspection
    delegates: DelegateReport | None = None
    export: Mapping[str, Any] | None = None
    latency: BenchmarkReport | None = None
    pictures: Sequence[Comparison] = ()
    layers: Sequence[LayerError] = ()


def render(report: Report) -> str:
    """The whole page."""
    inspection = report.inspection
    name = inspection.path.name if inspection.path else "model"
    title = element("div", element("h1", name), element("span", inspection.quantization, class_="label"))
    return document(name, title, _tiles(report), *_sections(report), _footer(inspection))


def _sections(report: Report) -> Iterator[Markup]:
    inspection = report.inspection
    if report.pictures:
        yield _pictures(report.pictures)
    yield _tensors(inspection)
    yield from _parity(report.export)
    yield _arithmetic(inspection)
    if report.delegates:
        yield _delegates(report.delegates)
    if report.latency:
        yield _latency(report.latency)
        yield from map(_profile, report.latency.measurements)
    if report.layers:
        yield _layers(report.layers)
    yield _operations(inspection)


def _tiles(report: Report) -> Markup:
    inspection, delegates = report.inspection, report.delegates
    tiles = [tile(f"{inspection.size_bytes / 1e6:.2f} MB", "file")]
    tiles.append(tile("open" if inspection.macs is None else count_text(inspection.macs), "MACs"))
    tiles.append(tile(count_text(inspection.parameters), "parameters"))
    tiles.append(tile(f"{inspection.mac_shares.get('int8', 0):.1%}", "of the MACs in int8"))
    if delegates:
        share = f"{delegates.xnnpack_operations}/{delegates.operations}"
        label = f"in XNNPACK, {delegates.xnnpack_partitions} partition"
        label += "" if delegates.xnnpack_partitions == 1 else "s"
        tiles.append(tile(share, label, "good" if delegates.is_whole else "bad"))
        refused = len(delegates.gpu_obstacles)
        tiles.append(tile(refused or "all fit", "GPU delegate" + (" refuses" if refused else ""),
                           "bad" if refused else "good"))  # fmt: skip
    agreement = ((report.export or {}).get("parity") or {}).get("mask_agreement")
    if agreement is not None:
        tiles.append(tile(f"{agreement:.2%}", "of mask pixels agree"))
    accuracy = (report.export or {}).get("accuracy")
    if accuracy:
        tiles.append(tile(f"{accuracy['mean_iou']:.4f}", "mean IoU of the file"))
    if report.latency:
        tiles.append(tile(f"{report.latency.measurements[0].median_ms:.1f} ms", "median run"))
    return element("div", *tiles, class_="tiles")


def _pictures(pictures: Sequence[Comparison]) -> Markup:
    rows = []
    for picture in pictures:
        figures = (
            figure(url, caption, "photo" if caption == "input" else "mask")
            for caption, url in picture.figures().items()
        )
        rows.append(element("h3", f"{picture.name}: {picture.agreement:.2%} of the pixels agree"))
        rows.append(element("div", *figures, class_="pictures"))
    return section(
        "Masks", *rows, note="Red is where the file decides for another class than the float model."
    )


def _tensors(inspection: ModelInspection) -> Markup:
    rows = [
        (
            kind,
            _name(tensor.name),
            shape_text(tensor.shape),
            tensor.dtype,
            "" if tensor.scale is None else f"{tensor.scale:.6g}",
            "" if tensor.zero_point is None else tensor.zero_point,
        )
        for kind, tensors in (("input", inspection.inputs), ("output", inspection.outputs))
        for tensor in tensors
    ]
    facts = [
        (
            "quantization",
            inspection.quantization + (", weights per channel" if inspection.per_channel else ""),
        ),
        ("signatures", ", ".join(signature.name for signature in inspection.signatures) or "none"),
        ("custom operations", ", ".join(inspection.custom_operations) or "none"),
        ("metadata", ", ".join(inspection.metadata) or "none"),
        ("appended files", ", ".join(inspection.files) or "none"),
    ]
    if inspection.metadata_problem:
        facts.append(("unreadable metadata", inspection.metadata_problem))
    facts += [(key.replace("_", " "), _list(value)) for key, value in (inspection.segmenter or {}).items()]
    columns = ("", "tensor", "shape", "type", "scale", "zero point")
    return section(
        "What goes in and out",
        table(columns, rows, numbers=(4, 5)),
        element("h3", "The file"),
        table(("", ""), facts),
    )


def _parity(export: Mapping[str, Any] | None) -> Iterator[Markup]:
    if not export or not export.get("parity"):
        return
    rows = [(key.replace("_", " "), _number(value)) for key, value in export["parity"].items()]
    accuracy = export.get("accuracy")
    if accuracy:
        rows += [
            ("mean IoU of the file", f"{accuracy['mean_iou']:.4f}"),
            ("mean IoU of the Keras model", f"{accuracy['model_mean_iou']:.4f}"),
            ("measured on", f"{accuracy['images']} images of {accuracy['dataset']}"),
        ]
    yield section(
        "Compared with the Keras model",
        element("div", table(("", ""), rows, numbers=(1,)), class_="narrow"),
        note="The file was run beside the model before it got its name.",
    )


def _arithmetic(inspection: ModelInspection) -> Markup:
    macs: dict[str, int] = defaultdict(int)
    for operation in inspection.operations:
        macs[operation.name] += operation.macs or 0
    most = max(inspection.histogram.values(), default=1)
    total = sum(macs.values()) or 1
    rows = [
        (_name(name), count, bar(count / most), count_text(macs[name]) if macs[name] else "",
         bar(macs[name] / total) if macs[name] else "")
        for name, count in inspection.histogram.items()
    ]  # fmt: skip
    return section(
        "Operations",
        stacked("share of the operations", list(inspection.operation_shares.items())),
        stacked("share of the multiplications", list(inspection.mac_shares.items())),
        table(("operation", "count", "", "MACs", ""), rows, numbers=(1, 3)),
    )


def _delegates(delegates: DelegateReport) -> Markup:
    sentence = (
        f"XNNPACK takes {delegates.xnnpack_operations} of {delegates.operations} operations, "
        f"in {delegates.xnnpack_partitions} partition{'' if delegates.xnnpack_partitions == 1 else 's'}."
    )
    parts: list[Markup] = [element("p", sentence)]
    if delegates.outside:
        rows = [(entry.index, _operation(entry.name), _layer(entry.layer)) for entry in delegates.outside]
        parts.append(table(("#", "outside of XNNPACK", "layer"), rows, numbers=(0,)))
        if delegates.is_whole:
            parts.append(
                element("p", "That only changes the type of what goes in or comes out, and cuts nothing.")
            )
    if delegates.gpu_obstacles:
        refused = [
            (entry.index, _operation(entry.name), entry.reason, _layer(entry.layer))
            for entry in delegates.gpu_obstacles
        ]
        parts += [
            element("h3", "Refused by the GPU delegate"),
            table(("#", "operation", "reason", "layer"), refused, numbers=(0,)),
        ]
    else:
        parts.append(element("p", "TFLite's GPU delegate takes all of them, by its published rules."))
    return section("Delegates", *parts)


def _latency(latency: BenchmarkReport) -> Markup:
    rows = []
    for measurement in latency.measurements:
        low, high = measurement.quartiles_ms
        rows.append(
            (
                _name(measurement.path.name),
                f"{measurement.median_ms:.2f}",
                f"{low:.2f} – {high:.2f}",
                f"{min(measurement.times_ms):.2f} – {max(measurement.times_ms):.2f}",
                f"{measurement.peak_bytes / 1e6:.0f} MB",
                f"{measurement.model_bytes / 1e6:.0f} MB",
            )
        )
    columns = ("file", "median ms", "middle half", "all", "peak memory", "of it the model")
    ratios = [
        element("p", f"{speedup.path.name} is {speedup.ratio:.2f} × as fast as {speedup.against.name}.")
        for speedup in latency.speedups
    ]
    note = (
        f"{len(latency.measurements[0].times_ms)} rounds in turns, {latency.threads} threads, "
        f"{latency.warmup} warm-up runs, on the machine that made this page."
    )
    return section("Latency", table(columns, rows, numbers=range(1, 6)), *ratios, note=note)


def _profile(measurement: Measurement) -> Markup:
    if not measurement.profile:
        return Markup()
    times: dict[str, list[float]] = defaultdict(list)
    for step in measurement.profile:
        times[step.kernel].append(step.ms)
    total = sum(map(sum, times.values())) or 1.0
    ordered = sorted(times.items(), key=lambda item: -sum(item[1]))[:_SHOWN_KERNELS]
    rows = [
        (_name(kernel), len(each), f"{sum(each):.2f}", f"{sum(each) / total:.1%}", bar(sum(each) / total))
        for kernel, each in ordered
    ]
    return section(
        f"Where the time goes: {measurement.path.name}",
        table(("kernel", "count", "ms", "share", ""), rows, numbers=(1, 2, 3)),
        note="By the runtime's profiler, in runs of their own.",
    )


def _layers(layers: Sequence[LayerError]) -> Markup:
    most = max((layer.added_noise for layer in layers), default=1.0) or 1.0
    rows = [
        (layer.index, _operation(layer.operation), _layer(layer.layer), f"{layer.sqnr_db:.1f}",
         f"{layer.added_noise:.3%}", bar(layer.added_noise / most, "float"), f"{layer.max_abs:.3g}")
        for layer in layers[:_SHOWN_LAYERS]
    ]  # fmt: skip
    columns = ("#", "operation", "layer", "SQNR dB", "added here", "", "max |Δ|")
    return section(
        "Quantization error by layer",
        table(columns, rows, numbers=(0, 3, 4, 6)),
        note="Signal to quantization noise of each layer's output, and the noise that this layer itself adds, "
        "as a share of its signal's power.",
    )


def _operations(inspection: ModelInspection) -> Markup:
    shown = inspection.operations[:_SHOWN_OPERATIONS]
    rows = [
        (operation.index, _operation(operation.name), shape_text(operation.output_shape), operation.precision,
         "open" if operation.macs is None else f"{operation.macs / 1e6:.1f}" if operation.macs else "",
         f"{operation.weight_bytes / 1e3:.1f}" if operation.weight_bytes else "", operation.activation or "",
         _layer(operation.layer))
        for operation in shown
    ]  # fmt: skip
    columns = ("#", "operation", "output", "precision", "M MACs", "kB", "activation", "layer")
    summary = element("summary", f"All {len(inspection.operations)} operations")
    return element("section", element("details", summary, table(columns, rows, numbers=(0, 4, 5))))


def _footer(inspection: ModelInspection) -> Markup:
    return element("footer", f"atrous · {inspection.description}" if inspection.description else "atrous")


def _name(text: str) -> Markup:
    return element("span", text, class_="name")


def _layer(name: str) -> Markup:
    return element("span", layer_text(name), class_="name", title=name)


def _operation(name: str) -> Markup:
    return element("span", name, class_="name whole")


def _list(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value or "")


def _number(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
