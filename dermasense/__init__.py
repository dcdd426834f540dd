"""DermaSense: train, judge, use and resume skin-lesion classifiers.

    from dermasense import load

    model = load("outputs/quickstart/<run>")
    print(model.predict("image.jpg"))

Research software, not a medical device.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dermasense.inference.model import Model, load
    from dermasense.inference.prediction import Prediction
    from dermasense.models.hub_bundle import push

__all__ = ["Model", "Prediction", "load", "push"]
__version__ = "0.1.0"
_HOMES = {
    "Model": "dermasense.inference.model",
    "Prediction": "dermasense.inference.prediction",
    "load": "dermasense.inference.model",
    "push": "dermasense.models.hub_bundle",
}


def __getattr__(name: str) -> Any:
    """Imports on first use: torch takes seconds, and `--help` need not wait for it."""
    if name not in _HOMES:
        raise AttributeError(f"module 'dermasense' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
