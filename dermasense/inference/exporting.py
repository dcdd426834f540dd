"""A bundle's network as files for other runtimes: ONNX in three precisions, and ExportedProgram."""

import warnings
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from dermasense.data.preprocess import InputSpec
from dermasense.errors import DermaSenseError
from dermasense.files import read_json, write_atomically, write_json
from dermasense.inference import novelty
from dermasense.inference.exported import EMBEDDING, INPUT, LOGITS, ONNX_FILE, PROGRAM_FILE
from dermasense.inference.preprocessing_steps import preprocessing
from dermasense.inference.views import averages
from dermasense.models.boundaries import IMAGE, POOLED
from dermasense.models.bundle import CONTRACT, DESCRIPTION, Bundle, contract_of
from dermasense.models.classifier import Classifier
from dermasense.models.hub_bundle import CARD
from dermasense.models.weight_files import sha256

OPSET = 17
AVERAGED = "fitted on logits averaged over the views of tta, where the graph gives those of one"
DTYPES = {"fp32": "float32", "fp16": "float16", "int8": "int8"}
PAGE = [f"inference/browser/{name}.mjs" for name in ("browser", "pixels", "answer", "novelty")]
PAGE += ["inference/browser/index.html", "serving/page/page.css", "serving/page/shown.mjs"]
_BATCH = 16
_QUANTISED = ["Conv", "Add", "MatMul", "Gemm", "Clip", "GlobalAveragePool"]


class _Answering(nn.Module):
    """Logits and pooled vector of uint8 pictures: the graph that is exported."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        pooled = self.classifier.between(images, IMAGE, POOLED)
        return self.classifier.suffix(pooled, POOLED), pooled


def export_variant(
    bundle: Bundle,
    source: Path,
    folder: Path,
    format: str,
    variant: str,
    pixels: Sequence[np.ndarray],
) -> Path:
    """Writes one exported bundle: the network, model.json, the detector and the card.

    Args:
        bundle: of :func:`load_bundle`.
        source: its folder.
        folder: where the exported bundle goes; made where it is absent.
        format: a key of `dermasense.inference.formats.FORMATS`.
        variant: one of that format's.
        pixels: (S, S, 3) uint8 pictures to calibrate int8 on; other variants ignore them.

    Returns:
        `folder`.

    Raises:
        DermaSenseError: what the export needs is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Wrapped and put to eval as a whole: the exporter gives a wrapper its own training flag back,
    # recursively, so a wrapper in training mode would leave a network that drops and drifts.
    module = _Answering(bundle.classifier).eval().requires_grad_(False)
    file = folder / (ONNX_FILE if format == "onnx" else PROGRAM_FILE)
    if format == "onnx":
        model = _onnx(module, bundle.spec)
        if variant == "fp16":
            model = _half(model)
        if variant == "int8":
            model = _quantised(model, pixels)
        described = read_json(source / DESCRIPTION)
        entry = model.metadata_props.add()
        entry.key, entry.value = "contract", contract_of(described)
        write_atomically(file, lambda to: to.write_bytes(model.SerializeToString()))
    else:
        program = _program(module, bundle.spec)
        # torch.export.save adds the ending .pt2 to names that lack it
        write_atomically(file, lambda to: _save_program(program, to))
    _describe(bundle, source, folder, file, format, variant, len(pixels))
    return folder


def add_browser_page(folder: Path) -> None:
    """Puts a page beside an exported ONNX model that runs it in a browser, with onnxruntime-web."""
    page = resources.files("dermasense")
    for place in PAGE:
        data = (page / place).read_bytes()
        write_atomically(folder / Path(place).name, lambda to, data=data: to.write_bytes(data))


def _onnx(module: nn.Module, spec: InputSpec) -> Any:
    try:
        import onnx
        import onnxruntime  # noqa: F401
    except ImportError:
        raise DermaSenseError(
            "format=onnx needs onnx and ONNX Runtime: pip install 'dermasense[export]'"
        ) from None
    import io

    example = torch.zeros(1, 3, spec.image_size, spec.image_size, dtype=torch.uint8)
    file = io.BytesIO()
    with warnings.catch_warnings():
        # The TorchScript exporter takes one second where its successor takes twenty.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (example,),
            file,
            input_names=[INPUT],
            output_names=[LOGITS, EMBEDDING],
            dynamic_axes={name: {0: "batch"} for name in (INPUT, LOGITS, EMBEDDING)},
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load_from_string(file.getvalue())
    onnx.checker.check_model(model)
    return model


def _half(model: Any) -> Any:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # weights below the smallest half, which become it
        return convert_float_to_float16(model, keep_io_types=True)


def _quantised(model: Any, pixels: Sequence[np.ndarray]) -> Any:
    """Static int8 (QDQ): weights per channel, activations by the range seen on `pixels`.

    The first convolution stays in float32, and ReLU6 is quantised with what it follows: on 200
    validation images of one EfficientNet-Lite0 1 answer changed, where quantising all convolutions
    and no ReLU6 changed 16.
    """
    import logging
    import tempfile

    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.batches = _batches(pixels)

        def get_next(self) -> dict | None:
            batch = next(self.batches, None)
            return None if batch is None else {INPUT: batch}

    logging.getLogger().disabled, before = True, logging.getLogger().disabled
    try:
        with tempfile.TemporaryDirectory() as scratch:
            folded, quantised = Path(scratch) / "folded.onnx", Path(scratch) / "int8.onnx"
            quant_pre_process(model, folded, skip_symbolic_shape=True)
            first = next((n.name for n in onnx.load(folded).graph.node if n.op_type == "Conv"), "")
            quantize_static(
                folded,
                quantised,
                Reader(),
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                op_types_to_quantize=_QUANTISED,
                nodes_to_exclude=[first],
            )
            return onnx.load(quantised)
    finally:
        logging.getLogger().disabled = before


def _batches(pixels: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    for first in range(0, len(pixels), _BATCH):
        batch = np.stack(pixels[first : first + _BATCH]).transpose(0, 3, 1, 2)
        yield np.ascontiguousarray(batch)


def _program(module: nn.Module, spec: InputSpec) -> Any:
    # Two pictures: the exporter takes a batch of one for a constant.
    example = torch.zeros(2, 3, spec.image_size, spec.image_size, dtype=torch.uint8)
    shapes = {"images": {0: torch.export.Dim("batch", min=1)}}
    return torch.export.export(module, (example,), dynamic_shapes=shapes)


def _save_program(program: Any, path: Path) -> None:
    with warnings.catch_warnings(), open(path, "wb") as file:
        warnings.simplefilter("ignore")
        torch.export.save(program, file)


def _describe(
    bundle: Bundle,
    source: Path,
    folder: Path,
    file: Path,
    format: str,
    variant: str,
    calibrated_on: int,
) -> None:
    described = read_json(source / DESCRIPTION)
    size, width = bundle.spec.image_size, len(bundle.class_names)
    about = {
        "format": format,
        "file": file.name,
        "variant": variant,
        **({"opset": OPSET} if format == "onnx" else {}),
        **({"calibrated_on": calibrated_on} if variant == "int8" else {}),
        "exported_from": described["sha256"],
        "graph_input": {"name": INPUT, "dtype": "uint8", "shape": ["batch", 3, size, size]},
        "graph_outputs": [
            {"name": LOGITS, "dtype": "float32", "shape": ["batch", width]},
            {"name": EMBEDDING, "dtype": "float32", "shape": ["batch", "width"]},
        ],
        "preprocessing": preprocessing(bundle.spec),
        "probabilities": "softmax(calibrated logits); without `calibration`: logits / temperature"
        + (f"; {AVERAGED}" if averages(bundle.info) else ""),
        "dtype": DTYPES[variant],
        "sha256": sha256(file),
    }
    own = {key: described[key] for key in ("schema_version", *CONTRACT)}
    rest = {key: value for key, value in described.items() if key not in (*own, *about)}
    for name in (novelty.FILE, CARD):
        if (source / name).is_file():
            data = (source / name).read_bytes()
            write_atomically(folder / name, lambda to, data=data: to.write_bytes(data))
    write_json(folder / DESCRIPTION, {**own, **about, **rest})
