"""The bundle: a folder of two files, model.safetensors and model.json, all that inference needs.

No pickle, no Lightning, no Hydra. What decides the logits (backbone, head, class names, input) is
written twice, in model.json for people and in the header of model.safetensors under its sha256;
the two are compared on loading, so that an edited class order or mean cannot pass unseen.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import numpy as np
import safetensors.torch
import torch

from dermasense.data.preprocess import InputSpec
from dermasense.errors import DermaSenseError
from dermasense.files import write_atomically, write_json
from dermasense.models.backbones import create_backbone
from dermasense.models.classifier import Classifier, assemble
from dermasense.models.weight_files import header, read_state, sha256
from dermasense.run_folder import refuse_cross_validation

SCHEMA_VERSION = 1
WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
DTYPES = {"float32": torch.float32, "float16": torch.float16}
CONTRACT = ("backbone", "head", "num_classes", "class_names", "input")
OWN = ("schema_version", *CONTRACT, "dtype", "sha256")


class Described:
    """What model.json says of a model, whatever its network is stored as."""

    info: dict[str, Any]
    backbone: str  # timm's name, or what stands there for an ensemble

    @property
    def temperature(self) -> float:
        """By which the logits are divided before the softmax; 1 where nothing was calibrated."""
        return float(self.info["temperature"])


class NoNetwork(DermaSenseError):
    """A model that cannot be looked into; the text gives its place and the reason."""

    def __init__(self, place: Path, reason: str) -> None:
        super().__init__(f"{place}: {reason}")
        self.place, self.reason = place, reason

    def __reduce__(self) -> tuple:  # an exception is made again from its text alone
        return type(self), (self.place, self.reason)


@dataclass(frozen=True)
class WithoutNetwork(Described):
    """A model that answers, but holds no single network of ours; REASON says why, of its {place}.

    Attributes:
        place: the folder or the file that it was read from.
        spec: how a picture becomes its pixels; of several networks the first one's.
        class_names: the order of the logits.
        info: everything else in model.json.
        backbone: as model.json names it.
    """

    REASON: ClassVar[str]
    place: Path
    spec: InputSpec
    class_names: tuple[str, ...]
    info: dict[str, Any]
    backbone: str

    @property
    def no_network(self) -> NoNetwork:
        """Why there is no classifier."""
        return NoNetwork(self.place, self.REASON.format(place=self.place))

    @property
    def classifier(self) -> NoReturn:
        """There is none; asking for it says so."""
        raise self.no_network


@dataclass(frozen=True)
class Bundle(Described):
    """A trained model, ready for inference.

    Attributes:
        classifier: in eval mode, on the CPU, weights in float32.
        spec: how a picture becomes the model's pixels.
        class_names: the order of the logits.
        info: everything else in model.json: temperature, training_data, licence, metrics, weights,
            sha256, ...
    """

    classifier: Classifier
    spec: InputSpec
    class_names: tuple[str, ...]
    info: dict[str, Any]

    @property
    def backbone(self) -> str:
        """timm's name."""
        return self.classifier.recipe["backbone"]


def save_bundle(
    folder: str | Path,
    classifier: Classifier,
    spec: InputSpec,
    class_names: Sequence[str],
    info: Mapping[str, Any] | None = None,
    *,
    dtype: str = "float32",
) -> Path:
    """Write a bundle; each file appears whole or not at all, other files in the folder stay.

    Args:
        folder: made where it does not exist.
        classifier: from `build_classifier`, which gives it the recipe stored here.
        spec: the input spec it was trained with.
        class_names: C names in the order of the logits.
        info: plain values to store beside: training_data, licence, metrics, temperature (default
            1), weights (provenance), ... NaN becomes null.
        dtype: "float32", which loads to the same logits bit for bit, or "float16", half the size
            (running statistics of batch norms stay float32).

    Raises:
        DermaSenseError: where class names, dtype or weights cannot be stored.
    """
    folder = Path(folder)
    if dtype not in DTYPES:
        raise DermaSenseError(f"bundle dtype '{dtype}' is unknown; valid: {', '.join(DTYPES)}")
    if not classifier.recipe:
        raise DermaSenseError(f"{folder}: only a classifier of build_classifier can be a bundle")
    contract = _plain(classifier.recipe | {"class_names": class_names, "input": spec.as_dict()})
    check_class_names(folder, contract)
    metadata = {"contract": _canonical(contract)}  # one key: their order in the file is random
    tensors = _tensors(folder, classifier, dtype)
    description = {
        "schema_version": SCHEMA_VERSION,
        **contract,
        "dtype": dtype,
        "temperature": 1.0,
        **{k: v for k, v in _plain(info or {}).items() if k not in OWN},
    }

    def write_weights(path: Path) -> None:
        safetensors.torch.save_file(tensors, path, metadata)
        description["sha256"] = sha256(path)

    write_atomically(folder / WEIGHTS, write_weights)
    write_json(folder / DESCRIPTION, description)
    return folder


def load_bundle(folder: str | Path, *, channels_last: bool = True) -> Bundle:
    """Read a bundle and check all of it: version, sha256, tensors, class names, input.

    Args:
        folder: of `save_bundle`.
        channels_last: memory format of the classifier; logits are bit-equal in the same format.

    Raises:
        DermaSenseError: naming the file, what is wrong with it and what to do.
    """
    folder = Path(folder)
    description = read_description(folder)
    path = folder / WEIGHTS
    check_sha256(path, description["sha256"])
    state = read_state(path)
    check_contract(path, description, header(path))
    spec = read_spec(folder, description["input"])
    recipe = {key: description[key] for key in CONTRACT[:3]}
    classifier = assemble(create_backbone(recipe["backbone"]), recipe, spec, channels_last)
    _fill(path, classifier, state)
    names = tuple(description["class_names"])
    info = {k: v for k, v in description.items() if k not in CONTRACT}
    return Bundle(classifier.eval(), spec, names, info)


def _tensors(folder: Path, classifier: Classifier, dtype: str) -> dict[str, torch.Tensor]:
    parameters = {name for name, _ in classifier.named_parameters()}
    tensors = {}
    for name, tensor in classifier.state_dict().items():
        kind = DTYPES[dtype] if name in parameters else tensor.dtype
        tensors[name] = tensor.detach().to("cpu", kind, copy=True).contiguous()
        if tensor.is_floating_point() and not torch.isfinite(tensors[name]).all():
            raise DermaSenseError(
                f"{folder}: weight '{name}' is not finite in {dtype}; the training diverged"
                + (", or save it as float32" if dtype == "float16" else "")
            )
    return tensors


def read_description(folder: Path) -> dict[str, Any]:
    """model.json of a bundle of any format, its version, fields, names and temperature checked.

    Raises:
        DermaSenseError: naming the file, what is wrong with it and what to do.
    """
    path = folder / DESCRIPTION
    if not path.is_file():
        refuse_cross_validation(folder)
        raise DermaSenseError(
            f"{path}: no such file; give the folder of a bundle, which holds {WEIGHTS} and "
            f"{DESCRIPTION} (a finished run folder does)"
        )
    try:
        description = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise DermaSenseError(f"{path}: not valid JSON ({error}); save the bundle again") from None
    version = description.get("schema_version") if isinstance(description, dict) else None
    if version != SCHEMA_VERSION:
        raise DermaSenseError(
            f"{path}: schema_version is {version!r}, this DermaSense reads {SCHEMA_VERSION}; "
            "use the version of DermaSense that wrote it, or save the bundle again"
        )
    missing = [k for k in (*CONTRACT, "temperature", "sha256") if k not in description]
    if missing:
        raise DermaSenseError(f"{path}: lacks {', '.join(missing)}; save the bundle again")
    check_class_names(folder, description)
    temperature = description["temperature"]
    number = isinstance(temperature, int | float) and math.isfinite(temperature)
    if not number or temperature <= 0:
        raise DermaSenseError(f"{path}: temperature is {temperature!r}, it must be above 0")
    return description


def check_sha256(path: Path, expected: Any) -> None:
    """Raises DermaSenseError where the file is not there, or is not the one of model.json."""
    if not path.is_file():
        raise DermaSenseError(f"{path}: no such file; a bundle is {path.name} beside {DESCRIPTION}")
    if sha256(path) != expected:
        raise DermaSenseError(
            f"{path}: its sha256 is not the one in {DESCRIPTION}: the file was changed, cut, or "
            "written by another run; copy or save the bundle again"
        )


def contract_of(description: Mapping[str, Any]) -> str:
    """What decides the logits, as the header of a file of weights holds it."""
    return _canonical({key: description[key] for key in CONTRACT})


def check_contract(path: Path, description: Mapping[str, Any], header: Mapping[str, str]) -> None:
    """Compares model.json with what the header of the weights in `path` says.

    Raises:
        DermaSenseError: where model.json was edited.
    """
    trained = json.loads(header.get("contract", "{}"))
    for key in CONTRACT:
        if trained.get(key) != description[key]:
            raise DermaSenseError(
                f"{path.parent / DESCRIPTION}: {key} is {_short(description[key])}, but the "
                f"weights were saved with {_short(trained.get(key))}; undo the edit or save the "
                "bundle again"
            )


def read_spec(folder: Path, values: Any) -> InputSpec:
    """The input of model.json; raises DermaSenseError where it cannot be understood."""
    try:
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return InputSpec(**values)
    except (TypeError, AttributeError):
        raise DermaSenseError(
            f"{folder / DESCRIPTION}: input is {_short(values)}, which this DermaSense does not "
            "understand; save the bundle again"
        ) from None


def check_class_names(folder: Path, contract: Mapping[str, Any]) -> None:
    """Raises DermaSenseError where the class names are not one a logit, each once."""
    names, classes = contract["class_names"], contract["num_classes"]
    if not isinstance(names, list) or len(names) != classes:
        count = len(names) if isinstance(names, list) else _short(names)
        raise DermaSenseError(
            f"{folder / DESCRIPTION}: {count} class names for {classes} logits; give one a logit"
        )
    if len(set(map(str, names))) != len(names):
        raise DermaSenseError(f"{folder / DESCRIPTION}: a class name occurs twice in {names}")


def _fill(path: Path, classifier: Classifier, state: Mapping[str, torch.Tensor]) -> None:
    own = classifier.state_dict()
    wrong = [k for k in own if k not in state or state[k].shape != own[k].shape]
    wrong += [k for k in state if k not in own]
    if wrong:
        raise DermaSenseError(
            f"{path}: {len(wrong)} tensors do not fit the backbone, head and number of "
            f"classes in {DESCRIPTION} ({', '.join(wrong[:3])}); save the bundle again"
        )
    classifier.load_state_dict(state, strict=True)


def _plain(value: Any) -> Any:
    """What JSON can hold: lists for sequences and arrays, null for NaN, text for paths."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray | np.generic | torch.Tensor):
        return _plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, str | int | float) else str(value)


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _short(value: Any) -> str:
    text = _canonical(value)
    return text if len(text) <= 120 else text[:117] + "..."
