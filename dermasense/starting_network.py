"""The network of a run as it begins, kept with the run: it goes on without what it began with."""

import shutil
from collections.abc import Sequence
from typing import Any

from dermasense.assembly import say
from dermasense.data.prepared import Prepared
from dermasense.data.preprocess import InputSpec
from dermasense.errors import DermaSenseError
from dermasense.inference.unseen import check_unseen
from dermasense.models.bundle import save_bundle
from dermasense.models.classifier import Classifier, build_classifier
from dermasense.models.origin import described
from dermasense.models.weights import SOURCES
from dermasense.own_choices import register_head
from dermasense.run_folder import RunFolder


def make_classifier(
    settings: dict, class_names: Sequence[str], run: RunFolder
) -> tuple[Classifier, InputSpec, dict]:
    """The network, what it must be fed, and where its weights come from.

    Where the run has kept its start, that alone is read, whatever has become of `weights` since.

    Raises:
        DermaSenseError: a model, head or weights that are no good.
    """
    register_head(settings["head"])
    kept = _kept(run)
    options = {**settings["model"], "head": settings["head"]}
    options |= {"num_classes": len(class_names), "class_names": class_names}
    options["weights"] = str(run.start) if kept else _weights(settings)
    try:
        model, spec, provenance = build_classifier(**options)
    except (TypeError, ValueError) as error:  # torch's and timm's own words on a value
        raise DermaSenseError(f"model or head: {error}") from None
    if kept:
        return model, spec, kept
    if head := provenance.get("head"):
        say(head)
    return model, spec, provenance


def check_weights(settings: dict, prepared: Prepared, run: RunFolder) -> None:
    """Says where it is not known what the weights to begin with have seen.

    Raises:
        DermaSenseError: where they have seen images that this run is judged by.
    """
    weights = _weights(settings)
    if weights in SOURCES or _kept(run):  # a kept start was checked when the run began
        return
    if unknown := check_unseen("weights", weights, prepared):
        say(unknown)


def keep_start(
    run: RunFolder,
    model: Classifier,
    spec: InputSpec,
    class_names: Sequence[str],
    provenance: dict[str, Any],
) -> None:
    """Keeps the network and the provenance of its weights, once, until `forget_start`."""
    if not _kept(run):
        save_bundle(run.start, model, spec, class_names, {"weights_provenance": provenance})


def forget_start(run: RunFolder) -> None:
    """A finished run needs its start no more."""
    shutil.rmtree(run.start, ignore_errors=True)


def _kept(run: RunFolder) -> dict[str, Any]:
    """The provenance of the weights that the run began with; {} before a start was kept."""
    return described(run.start).get("weights_provenance", {})


def _weights(settings: dict) -> str:
    return str(settings["weights"] or settings["model"]["weights"] or "none")
