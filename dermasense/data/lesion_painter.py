"""Paints one lesion seen in one view: numbers in, pixels out. Drawn by a program, not skin.

The picture is built as light that gets through layers: optical densities of skin, brown pigment,
deep (blue) pigment and blood add up per colour channel, and only then become sRGB. So a lesion on
dark skin is darker with less contrast, as it is in life, without any rule about it.
"""

from dataclasses import dataclass

import numpy as np

from dermasense.data.lesion_texture import Texture, strokes

# Optical density per unit of each pigment in (R, G, B). Shapes follow the absorption of melanin
# (rising towards blue) and haemoglobin (green and blue); deep melanin looks blue because the red
# light is lost on the way. Chosen by eye.
_BROWN = np.array([0.80, 1.22, 1.62], np.float32)
_BLUE = np.array([1.75, 1.20, 0.72], np.float32)
_BLOOD = np.array([0.10, 1.15, 0.92], np.float32)
_FLAKE = np.array([0.84, 0.73, 0.56], np.float32)  # sRGB of keratin
_HAIR = (np.array([0.13, 0.09, 0.07], np.float32), np.array([0.36, 0.25, 0.15], np.float32))

# Individual typology angle in degrees, the classes of Chardon et al. 1991 and Del Bino & Bernerd
# 2013 (> 55 very light, 41 light, 28 intermediate, 10 tan, -30 brown, below dark) taken for
# Fitzpatrick I to VI, as audits of skin images do.
ITA_RANGE = {1: (55, 66), 2: (41, 55), 3: (28, 41), 4: (10, 28), 5: (-30, 10), 6: (-65, -30)}


@dataclass(frozen=True)
class Lesion:
    """What stays the same in every picture of a lesion. Strengths lie in [0, 1] unless said.

    Attributes:
        seed: draws of its border and textures.
        ita: skin colour as individual typology angle in degrees, -65 to 66.
        size: radius as a fraction of the picture's height, about 0.2 to 0.45.
        elongation: longer over shorter axis, >= 1.
        pigment: amount of brown, 0 to 2.
        irregular, soft: how notched and how blurred the border is.
        mottled, blue, red: uneven brown, islands of deep pigment, blood.
        net, dots, rays, flakes, vessels: strengths of the structures.
        grain: structures per lesion radius, about 3.5 to 6.
    """

    seed: tuple[int, ...]
    ita: float
    size: float
    elongation: float
    pigment: float
    irregular: float
    soft: float
    mottled: float
    blue: float
    red: float
    net: float
    dots: float
    rays: float
    flakes: float
    vessels: float
    grain: float


@dataclass(frozen=True)
class View:
    """What changes from picture to picture of a lesion.

    Attributes:
        seed: draws of hairs, noise and where things lie.
        turn: of the lesion, in radians.
        shift: of the lesion's centre (x, y), in picture heights.
        zoom: about 0.8 to 1.25.
        exposure: factor on light.
        tint: factors on (R, G, B).
        slope: gradient of the light over the picture (x, y).
        vignette: darkening at the corners, 0 to 1.
        frame: whether a round lens leaves black corners.
        hairs: number of them.
        ruler: whether tick marks show.
        blur: 0 (sharp) to 1.
        noise: standard deviation in sRGB, 0 to 1.
    """

    seed: tuple[int, ...]
    turn: float
    shift: tuple[float, float]
    zoom: float
    exposure: float
    tint: tuple[float, float, float]
    slope: tuple[float, float]
    vignette: float
    frame: bool
    hairs: int
    ruler: bool
    blur: float
    noise: float


def skin_rgb(ita: float) -> np.ndarray:
    """Linear RGB of skin, shape (3,), from its individual typology angle in degrees.

    ITA = atan((L* - 50) / b*) (Chardon et al. 1991). a* and b* peak in tan skin and fall again in
    very dark skin; their values are set by eye to such curves.
    """
    knots = (-65, -30, 10, 28, 41, 55, 66)
    b = float(np.interp(ita, knots, (9.5, 16.5, 20.5, 19.5, 17.5, 14.5, 12.0)))
    a = float(np.interp(ita, knots, (8.0, 11.0, 13.0, 12.5, 11.5, 10.5, 10.0)))
    lightness = 50 + b * np.tan(np.radians(ita))
    fy = (lightness + 16) / 116
    f = np.array([fy + a / 500, fy, fy - b / 200])
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * (0.9505, 1.0, 1.089)
    to_rgb = np.array(
        [[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]]
    )
    return np.clip(to_rgb @ xyz, 0.004, 1.0).astype(np.float32)


def paint(lesion: Lesion, view: View, image_px: int) -> tuple[np.ndarray, np.ndarray]:
    """The picture of a lesion in a view, and where the lesion is in it.

    Args:
        lesion: the lesion. view: the view.
        image_px: width W of the picture; its height H is three quarters of that.

    Returns:
        image (H, W, 3) uint8 sRGB, and mask (H, W) bool, true on the lesion.
    """
    height, width = round(image_px * 0.75), image_px
    rng = np.random.default_rng(view.seed)
    texture = Texture(np.random.default_rng(lesion.seed))
    py, px = np.mgrid[0:height, 0:width].astype(np.float32)
    py, px = (py + 0.5) / height - 0.5, (px + 0.5 - width / 2) / height  # picture heights
    x, y = _lesion_plane(px, py, lesion, view)

    density = np.empty((height, width, 3), np.float32)
    density[:] = -np.log(skin_rgb(lesion.ita)) - np.log(np.asarray(view.tint, np.float32))
    mottle = texture.noise(x, y, 0.55, 0) * 0.10 + texture.noise(x, y, 1.6, 1) * 0.05
    furrow = np.abs(texture.noise(x, y, 7.0, 2))
    density += (mottle + (furrow - 0.3) * 0.06)[..., None] * (0.6 * _BROWN + 0.4 * _BLOOD)

    reach = _border(x, y, lesion, texture)
    near = np.flatnonzero(reach < 1.6)  # beyond it the reddest halo is gone
    nx, ny, nr = x.ravel()[near], y.ravel()[near], reach.ravel()[near]
    brown, blue, blood, flake, body = _structures(nx, ny, nr, lesion, texture)
    flat = density.reshape(-1, 3)
    flat[near] += brown[:, None] * _BROWN + blue[:, None] * _BLUE + blood[:, None] * _BLOOD

    radius = px * px + py * py
    light = view.slope[0] * px + view.slope[1] * py - view.vignette * 1.3 * radius
    density -= (light + np.float32(np.log(view.exposure)))[..., None]
    image = np.exp(density * np.float32(-1 / 2.2))
    alpha = (flake * 0.85)[:, None]
    shade = np.sqrt(np.minimum(view.exposure, 1.1)) * (0.93 + 0.2 * skin_rgb(lesion.ita)[0])
    pixels = image.reshape(-1, 3)
    pixels[near] = pixels[near] * (1 - alpha) + alpha * _FLAKE * np.float32(min(shade, 1.08))

    image = _lens(image, px, py, view, rng)
    mask = np.zeros(height * width, bool)
    mask[near] = body > 0.5
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8), mask.reshape(height, width)


def _lesion_plane(
    px: np.ndarray, py: np.ndarray, lesion: Lesion, view: View
) -> tuple[np.ndarray, np.ndarray]:
    """Picture coordinates -> the lesion's own, where its radius is 1."""
    c, s = np.float32(np.cos(view.turn)), np.float32(np.sin(view.turn))
    qx, qy = px - np.float32(view.shift[0]), py - np.float32(view.shift[1])
    scale = np.float32(1 / (lesion.size * view.zoom))
    return (c * qx + s * qy) * scale, (c * qy - s * qx) * scale


def _border(x: np.ndarray, y: np.ndarray, lesion: Lesion, texture: Texture) -> np.ndarray:
    """Distance from the centre over the border's distance in that direction: 1 on the border."""
    rng = np.random.default_rng((*lesion.seed, 1))
    wobble = 0.03 + 0.20 * lesion.irregular
    wx = x + np.float32(wobble) * texture.noise(x, y, 1.3, 3)
    wy = y + np.float32(wobble) * texture.noise(x, y, 1.3, 4)
    fine = np.float32(0.12 * lesion.irregular) * texture.noise(x, y, 4.2, 5)
    stretch = np.float32(np.sqrt(lesion.elongation))
    angle = np.arctan2(wy, wx)
    outline = np.ones_like(x)
    for k in (2, 3, 5):
        amplitude = rng.normal(0, (0.02 + 0.11 * lesion.irregular) / np.sqrt(k))
        outline += np.float32(amplitude) * np.cos(k * angle + np.float32(rng.uniform(0, 6.28)))
    return np.hypot(wx / stretch, wy * stretch) / np.maximum(outline, 0.4) + fine


def _structures(
    x: np.ndarray, y: np.ndarray, reach: np.ndarray, lesion: Lesion, texture: Texture
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Brown, blue, blood, flakes and body (how much lesion is here) at points of its plane."""
    steep = 1 / (0.025 + 0.11 * lesion.soft)
    body = 1 / (1 + np.exp(np.clip((reach - 1) * steep * 2, -30, 30)))
    inner = np.clip((1.05 - reach) * 2.5, 0, 1)
    coarse, middle = texture.noise(x, y, 1.5, 0), texture.noise(x, y, 3.1, 1)
    fine = texture.noise(x, y, 8.0, 6)
    tone = 1 + lesion.mottled * (0.75 * coarse + 0.45 * middle) + 0.06 * fine
    tone = tone * (0.82 + 0.25 * inner)

    bend_x, bend_y = x + 0.07 * middle, y + 0.07 * texture.noise(x, y, 3.1, 4)
    first, second, cell = texture.cells(bend_x, bend_y, lesion.grain)
    if lesion.net > 0.01:
        line = np.exp(-np.square((second - first) / 0.24))
        patchy = np.clip(0.75 + 0.9 * coarse, 0.05, 1.3)
        tone += lesion.net * patchy * (1.15 * line - 0.46)
    if lesion.dots > 0.01:
        drop = 1 / (1 + np.exp(np.clip((first - 0.30 - 0.08 * cell) * 22, -30, 30)))
        kept = np.clip(0.7 + 0.9 * texture.noise(x, y, 2.0, 4), 0.0, 1.1)
        tone += lesion.dots * kept * (1.25 * drop - 0.38)
    brown = np.maximum(lesion.pigment * tone, 0.0) * body
    if lesion.rays > 0.01:
        # Many narrow lobes at the rim: noise over direction alone, bent a little by place.
        angle = np.arctan2(y, x)
        spokes = 2.1 * lesion.grain
        wave = texture.noise(spokes * np.cos(angle), spokes * np.sin(angle), 0.62, 2)
        tip = 1.0 + 0.34 * wave + 0.08 * middle
        rim = np.clip((reach - 0.62) * 5, 0, 1) * np.clip((tip - reach) * 9, 0, 1)
        streak = rim * np.clip(0.5 + 2.4 * wave, 0, 1)
        brown += lesion.rays * 0.95 * max(lesion.pigment, 0.35) * streak

    island = np.clip((texture.noise(x, y, 1.25, 5) - 0.22 + 0.2 * coarse) * 3.5, 0, 1)
    blue = lesion.blue * 0.85 * island * body * np.clip(inner * 1.4, 0, 1)
    brown *= 1 - 0.8 * lesion.blue * island
    pale = np.clip((-coarse - 0.25) * 3, 0, 1) * lesion.mottled * lesion.blue
    brown *= 1 - 0.75 * pale

    halo = np.exp(-np.square(np.maximum(reach - 0.8, 0) / 0.30))
    blood = lesion.red * (0.42 * halo * (0.8 + 0.4 * middle))
    if lesion.vessels > 0.01:
        bent_x, bent_y = x + 0.16 * middle, y + 0.16 * coarse
        ridge = np.abs(texture.noise(bent_x, bent_y, 2.3, 3))
        twig = np.abs(texture.noise(bent_y, bent_x, 3.6, 6))
        thread = np.exp(-np.square(ridge / 0.075)) + 0.7 * np.exp(-np.square(twig / 0.07))
        blood += (
            lesion.vessels * 0.62 * np.minimum(thread, 1.1) * body * np.clip(0.7 + coarse, 0, 1)
        )
    crust = texture.noise(x, y, 3.4, 7) + 0.55 * texture.noise(x, y, 8.5, 2) + 0.3 * coarse
    flake = np.clip((crust - 0.85 + 0.95 * lesion.flakes) * 1.7, 0, 1) * np.sqrt(body)
    flake *= (0.8 + 0.3 * fine) * min(1.0, 1.6 * lesion.flakes)
    return brown, blue, blood, np.clip(flake, 0, 1), body


def _lens(
    image: np.ndarray, px: np.ndarray, py: np.ndarray, view: View, rng: np.random.Generator
) -> np.ndarray:
    """What lies between skin and file: hairs, ruler, blur, the lens's frame, sensor noise."""
    height, width = image.shape[:2]
    if view.hairs:
        cover = strokes((height, width), rng, view.hairs, width / 160)[..., None]
        mix = np.float32(rng.uniform(0, 1))
        image = image * (1 - 0.8 * cover) + 0.8 * cover * (_HAIR[0] * (1 - mix) + _HAIR[1] * mix)
    if view.ruler:
        marks = ruler_marks(px, py, rng)[..., None]
        image = image * (1 - 0.75 * marks) + 0.75 * marks * np.float32(0.12)
    if view.blur > 0.01:
        share = np.float32(view.blur / 3)
        for axis in (0, 1):
            before, after = np.roll(image, 1, axis), np.roll(image, -1, axis)
            image = image * (1 - 2 * share) + (before + after) * share
    if view.frame:
        edge = np.hypot(px, py) - np.float32(rng.uniform(0.63, 0.72))
        image = image * np.clip(0.5 - edge * 40, 0.02, 1)[..., None]
    grain = rng.standard_normal((height, width, 3), dtype=np.float32)
    return image + np.float32(view.noise) * (0.6 * grain + 0.6 * grain[..., :1])


def ruler_marks(px: np.ndarray, py: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Tick marks along one edge of the picture, every fifth longer. Coverage in [0, 1]."""
    tilt, edge = rng.normal(0, 0.08), rng.choice((-1.0, 1.0))
    upright = rng.uniform() < 0.4
    along, across = (py, px) if upright else (px, py)
    depth = (0.60 if upright else 0.45) - edge * across + np.float32(tilt) * along
    pitch = np.float32(rng.uniform(0.05, 0.075))
    place = along / pitch + np.float32(rng.uniform())
    number = np.round(place)
    length = np.where(number % 5 == 0, 0.085, 0.05)
    tick = np.clip(1.4 - np.abs(place - number) * pitch * 120, 0, 1)
    return tick * np.clip((length - np.abs(depth - 0.04)) * 90, 0, 1)
