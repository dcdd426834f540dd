"""Random changes of a whole batch at once, on the device that trains: one warp, then colour.

For a GPU whose loader cannot keep up. As everywhere, a sample's draws are a pure function of its
seed: they come from a counter-based generator (SplitMix64, Steele et al. 2014) over all samples.
"""

import json
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch.nn import functional

from dermasense.errors import DermaSenseError

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_DRAWS = 10


@dataclass(frozen=True)
class DeviceAugmentation:
    """Flips, turn, zoom, shift, brightness, contrast and saturation of uint8 pictures.

    Args:
        crop: smallest part of the area that the zoom keeps, in (0, 1].
        rotation: largest angle in degrees.
        shift: largest shift along each axis, as a fraction of the side.
        brightness, contrast: largest relative change.
        saturation: largest relative change of the distance from grey.
    """

    crop: float
    rotation: float
    shift: float
    brightness: float
    contrast: float
    saturation: float

    @property
    def description(self) -> str:
        """Equal text, equal draws."""
        return json.dumps({"device": asdict(self), "torch": torch.__version__})

    def __call__(self, image: np.ndarray, seed: int) -> np.ndarray:
        """One picture (S, S, 3) uint8, on the CPU."""
        batch = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]
        changed = self.batch(batch, np.array([seed], dtype=np.int64))
        return np.ascontiguousarray(changed[0].permute(1, 2, 0).numpy())

    def batch(self, images: torch.Tensor, seeds: np.ndarray) -> torch.Tensor:
        """Pictures (n, 3, S, S) uint8 on any device, changed as their seeds (n,) int64 say."""
        draws = uniform(seeds, _DRAWS)
        device = images.device
        theta = torch.from_numpy(self._warps(draws[:6])).to(device, non_blocking=True)
        factors = torch.from_numpy(self._colours(draws[6:])).to(device, non_blocking=True)
        grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
        x = functional.grid_sample(
            images.float(), grid, padding_mode="reflection", align_corners=False
        )
        gain, plus, colour = factors[:, :, None, None, None]
        x = x * gain + plus
        grey = x.mean(1, keepdim=True)
        x = grey + (x - grey) * colour
        return x.round_().clamp_(0, 255).to(torch.uint8)

    def _warps(self, draws: np.ndarray) -> np.ndarray:
        """(n, 2, 3) float32: where each pixel of the result comes from, in -1..1."""
        turn, zoom, right, down, mirror, over = draws
        angle = np.deg2rad(self.rotation) * (2 * turn - 1)
        side = np.sqrt(self.crop + (1 - self.crop) * zoom)
        flip_x, flip_y = np.where(mirror < 0.5, -1.0, 1.0), np.where(over < 0.5, -1.0, 1.0)
        cos, sin = side * np.cos(angle), side * np.sin(angle)
        theta = np.empty((len(turn), 2, 3), np.float32)
        theta[:, 0] = np.stack([cos * flip_x, -sin * flip_y, self._shifts(right, side)], axis=1)
        theta[:, 1] = np.stack([sin * flip_x, cos * flip_y, self._shifts(down, side)], axis=1)
        return theta

    def _shifts(self, draw: np.ndarray, side: np.ndarray) -> np.ndarray:
        """A crop may lie anywhere in the picture, and be shifted out of it besides."""
        return (2 * draw - 1) * (1 - side + 2 * self.shift)

    def _colours(self, draws: np.ndarray) -> np.ndarray:
        """(3, n) float32: factor, what is added, factor of the distance from grey."""
        light, contrast, colour, _ = 2 * draws - 1
        factors = [
            1 + self.contrast * contrast,
            255 * self.brightness * light,
            1 + self.saturation * colour,
        ]
        return np.stack(factors).astype(np.float32)


def device(
    image_size: int,
    *,
    crop: float = 0.7,
    rotation: float = 180.0,
    shift: float = 0.05,
    brightness: float = 0.1,
    contrast: float = 0.15,
    saturation: float = 0.15,
) -> DeviceAugmentation:
    """See `DeviceAugmentation`; `image_size` is unused, the pictures keep their size.

    Raises:
        DermaSenseError: for a value out of range.
    """
    options = dict(
        crop=crop,
        rotation=rotation,
        shift=shift,
        brightness=brightness,
        contrast=contrast,
        saturation=saturation,
    )
    low = {"crop": 0.01}
    high = {"rotation": 180.0}
    for name, value in options.items():
        least, most = low.get(name, 0.0), high.get(name, 1.0)
        if type(value) not in (int, float) or not least <= value <= most:
            raise DermaSenseError(
                f"augment.{name}={value} must be a number from {least:g} to {most:g}"
            )
    return DeviceAugmentation(**options)


def uniform(seeds: np.ndarray, count: int) -> np.ndarray:
    """`count` numbers in [0, 1) for each seed, (count, n) float64: SplitMix64 of seed and place."""
    place = np.arange(1, count + 1, dtype=np.uint64)[:, None]
    with np.errstate(over="ignore"):
        z = _mixed(np.asarray(seeds).astype(np.uint64)[None]) + place * _GOLDEN
        return (_mixed(z) >> np.uint64(11)).astype(np.float64) / 2**53


def _mixed(z: np.ndarray) -> np.ndarray:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
