"""Seeded textures as functions of a place: the same lesion looks the same from every view.

Each is asked for its value at points (x, y), so a lesion may be turned, shifted or enlarged and
keeps its network, dots and border.
"""

import numpy as np

_SIDE = (
    64  # lattice points a side; textures repeat after that many cells, more than a picture shows
)


class Texture:
    """Smooth noise and a plane of irregular cells, both a pure function of a seed.

    Args:
        rng: generator that the lattices are drawn from; nothing is drawn after construction.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._values = rng.uniform(-1.0, 1.0, (8, _SIDE * _SIDE)).astype(np.float32)
        self._jitter = rng.uniform(-0.36, 0.36, (2, _SIDE * _SIDE)).astype(np.float32)
        self._turn = rng.uniform(0.0, 2 * np.pi, 8)

    def noise(self, x: np.ndarray, y: np.ndarray, scale: float, layer: int) -> np.ndarray:
        """Value noise in [-1, 1] with features about `1 / scale` wide.

        Args:
            x, y: coordinates, any equal shape, float32.
            scale: cells per unit of length, > 0.
            layer: 0 to 7; layers are independent of each other.
        """
        # Each layer's lattice is turned by its own angle: aligned lattices would show as a grid.
        c, s = np.float32(np.cos(self._turn[layer])), np.float32(np.sin(self._turn[layer]))
        u, v = (c * x - s * y) * np.float32(scale), (s * x + c * y) * np.float32(scale)
        u0, v0 = np.floor(u), np.floor(v)
        fu, fv = u - u0, v - v0
        fu, fv = fu * fu * (3 - 2 * fu), fv * fv * (3 - 2 * fv)
        i0, j0 = u0.astype(np.int32) & (_SIDE - 1), v0.astype(np.int32) & (_SIDE - 1)
        i1, j1 = (i0 + 1) & (_SIDE - 1), (j0 + 1) & (_SIDE - 1)
        lattice = self._values[layer]
        left = lattice[j0 * _SIDE + i0] * (1 - fv) + lattice[j1 * _SIDE + i0] * fv
        right = lattice[j0 * _SIDE + i1] * (1 - fv) + lattice[j1 * _SIDE + i1] * fv
        return left * (1 - fu) + right * fu

    def cells(
        self, x: np.ndarray, y: np.ndarray, scale: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Cellular (Worley 1996) texture: distances to the nearest and second nearest cell centre.

        Args:
            x, y: coordinates, any equal shape, float32.
            scale: cells per unit of length, > 0.

        Returns:
            first, second: distances in units of a cell, first <= second; and a value in [-1, 1]
            that is constant within each cell.
        """
        u, v = x * np.float32(scale), y * np.float32(scale)
        u0, v0 = np.floor(u), np.floor(v)
        fu, fv = u - u0 - np.float32(0.5), v - v0 - np.float32(0.5)
        iu, iv = u0.astype(np.int32), v0.astype(np.int32)
        first = np.full(u.shape, 9.0, np.float32)
        second = first.copy()
        owner = np.zeros(u.shape, np.int32)
        for dv in (-1, 0, 1):
            row = ((iv + dv) & (_SIDE - 1)) * _SIDE
            for du in (-1, 0, 1):
                cell = row + ((iu + du) & (_SIDE - 1))
                gap_u = fu - du - self._jitter[0][cell]
                gap_v = fv - dv - self._jitter[1][cell]
                squared = gap_u * gap_u + gap_v * gap_v
                closer = squared < first
                second = np.where(closer, first, np.minimum(second, squared))
                owner = np.where(closer, cell, owner)
                first = np.minimum(first, squared)
        return np.sqrt(first), np.sqrt(second), self._values[7][owner]


def strokes(
    shape: tuple[int, int], rng: np.random.Generator, count: int, width: float
) -> np.ndarray:
    """Thin bent lines across a picture, such as hairs.

    Args:
        shape: (H, W) of the picture.
        rng: where each line lies and how it bends.
        count: number of lines, >= 0.
        width: mean width of a line in pixels.

    Returns:
        Coverage in [0, 1], shape (H, W), float32.
    """
    height, wide = shape
    cover = np.zeros(height * wide, np.float32)
    heading = rng.uniform(0, np.pi)
    for _ in range(count):
        length = rng.uniform(0.35, 1.1) * wide
        angle = heading + rng.normal(0, 0.5)
        bend = rng.normal(0, 0.22) * length
        centre = rng.uniform(0, 1, 2) * (wide, height)
        thick = width * rng.uniform(0.7, 1.4)
        strength = rng.uniform(0.55, 1.0)
        t = np.linspace(-0.5, 0.5, max(2, int(length * 1.6)))
        along, across = t * length, bend * (t * t * 4 - 0.5)
        c, s = np.cos(angle), np.sin(angle)
        taper = np.clip((0.5 - t) * 5, 0, 1)  # a hair ends in a point
        side = across + np.linspace(-0.5, 0.5, 3)[:, None] * max(thick - 1, 0)
        px = (centre[0] + c * along - s * side).ravel()
        py = (centre[1] + s * along + c * side).ravel()
        kept = (px >= 0) & (px < wide - 1) & (py >= 0) & (py < height - 1)
        if not kept.any():
            continue
        px, py, share = px[kept], py[kept], np.tile(taper * min(thick, 1.0) * 0.62, 3)[kept]
        x0, y0 = px.astype(np.int64), py.astype(np.int64)
        fx, fy = px - x0, py - y0
        place = y0 * wide + x0
        line = np.bincount(
            np.concatenate([place, place + 1, place + wide, place + wide + 1]),
            np.concatenate([(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy])
            * np.tile(share, 4),
            minlength=cover.size,
        ).astype(np.float32)
        cover = np.maximum(cover, np.minimum(line, 1.0) * np.float32(strength))
    return cover.reshape(shape)
