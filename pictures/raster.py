# SPDX-License-Identifier: GPL-3.0-or-later
"""A small renderer of shaded triangles that needs only arrays and the processor.

Contact sheets and videos need hundreds of pictures on machines without a display or graphics driver. On those,
Blender's Workbench does not start and Cycles takes seconds a frame; this renderer takes about a tenth of a second and
gives the same picture everywhere. It has an orthographic camera, a depth buffer, the soft shadow
of one key light, and ambient occlusion from the depth buffer.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..sim.geometry.surface import triangle_normals

# Pixels are computed at this multiple and averaged, against jagged edges.
SUPERSAMPLING = 2
# Side of the shadow map in pixels, and by how many metres a surface must be covered to lie in shadow.
_SHADOW_SIZE, _SHADOW_BIAS = 1024, 2e-3
# Key light that still reaches a shadow, as in a room with bright walls: what happens there must stay readable.
_SHADOW_LIGHT = 0.30
# Reach of ambient occlusion [m] and how many neighbours tell it; the pattern turns from pixel to pixel (4 × 4 tiles).
_OCCLUSION_REACH, _OCCLUSION_SAMPLES = 0.012, 12


@dataclass(frozen=True)
class Model:
    """A surface to picture: vertices (n, 3) [m], triangles (m, 3), colours (n, 3) linear RGB, shininess 0..1.

    flat=True shades each triangle by its own plane, else normals are smooth.
    """

    vertices: NDArray
    triangles: NDArray
    colours: NDArray
    shininess: float = 0.5
    flat: bool = False


@dataclass(frozen=True)
class View:
    """An orthographic camera: looks along `forward` at `centre` [m], `up` upwards; `height` metres fit the picture."""

    centre: NDArray
    forward: NDArray
    up: NDArray
    height: float
    pixels: tuple[int, int]  # width, height

    def axes(self) -> NDArray[np.float64]:
        """Rows: right, up, towards the camera."""
        back = -np.asarray(self.forward, float) / np.linalg.norm(self.forward)
        right = np.cross(self.up, back)
        right /= np.linalg.norm(right)
        return np.stack([right, np.cross(back, right), back])


@dataclass(frozen=True)
class Light:
    """Directions in the camera's axes (right, up, towards the camera), from the subject to the light; linear RGB."""

    key: tuple[float, float, float] = (-0.55, 0.62, 0.56)
    key_colour: tuple[float, float, float] = (1.30, 1.22, 1.13)
    fill: tuple[float, float, float] = (0.85, 0.05, 0.5)
    fill_colour: tuple[float, float, float] = (0.30, 0.36, 0.46)
    rim: tuple[float, float, float] = (0.75, 0.35, -0.55)
    rim_colour: tuple[float, float, float] = (0.9, 0.95, 1.05)
    sky: tuple[float, float, float] = (0.34, 0.36, 0.40)
    ground: tuple[float, float, float] = (0.20, 0.17, 0.15)

    def mirrored(self) -> "Light":
        """The same light from the other side."""
        turned = {name: (-v[0], v[1], v[2]) for name, v in (("key", self.key), ("fill", self.fill), ("rim", self.rim))}
        return replace(self, **turned)


@njit(cache=True, nogil=True)
def _rasterise(points, triangles, width, height):
    """Depth buffer: nearest triangle (h, w), its first two barycentrics and depth (larger is nearer)."""
    nearest = np.full((height, width), -1, np.int32)
    depth = np.full((height, width), -np.inf, np.float32)
    weights = np.zeros((height, width, 2), np.float32)
    for t in range(len(triangles)):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ax, ay, az = points[a, 0], points[a, 1], points[a, 2]
        bx, by = points[b, 0] - ax, points[b, 1] - ay
        cx, cy = points[c, 0] - ax, points[c, 1] - ay
        area = bx * cy - by * cx
        if area == 0.0:
            continue
        x0 = max(int(np.ceil(ax + min(0.0, bx, cx) - 0.5)), 0)
        x1 = min(int(np.floor(ax + max(0.0, bx, cx) - 0.5)), width - 1)
        y0 = max(int(np.ceil(ay + min(0.0, by, cy) - 0.5)), 0)
        y1 = min(int(np.floor(ay + max(0.0, by, cy) - 0.5)), height - 1)
        # u, v and z are linear over the screen.
        ux, uy, vx, vy = cy / area, -cx / area, -by / area, bx / area
        rise_b, rise_c = points[b, 2] - az, points[c, 2] - az
        for y in range(y0, y1 + 1):
            py = y + 0.5 - ay
            for x in range(x0, x1 + 1):
                px = x + 0.5 - ax
                u = px * ux + py * uy
                v = px * vx + py * vy
                if u < 0.0 or v < 0.0 or u + v > 1.0:
                    continue
                z = az + u * rise_b + v * rise_c
                if z > depth[y, x]:
                    depth[y, x] = z
                    nearest[y, x] = t
                    weights[y, x, 0] = u
                    weights[y, x, 1] = v
    return nearest, weights, depth


@njit(cache=True, nogil=True)
def _occlusion(depth, pixel, reach, offsets):
    """Share of open sky, (h, w) in 0..1, from the depths of neighbours within `reach` metres; `pixel` metres wide."""
    height, width = depth.shape
    raw = np.ones((height, width), np.float32)
    samples = offsets.shape[1]
    for y in range(height):
        for x in range(width):
            z = depth[y, x]
            if z == -np.inf:
                continue
            pattern = (y % 4) * 4 + x % 4
            hidden = 0.0
            for k in range(samples):
                dx, dy = offsets[pattern, k, 0], offsets[pattern, k, 1]
                sx, sy = x + int(dx), y + int(dy)
                if sx < 0 or sy < 0 or sx >= width or sy >= height:
                    continue
                # A pair of opposite neighbours: a plane has as much above on one side as below on the other.
                ox, oy = 2 * x - sx, 2 * y - sy
                if ox < 0 or oy < 0 or ox >= width or oy >= height:
                    continue
                near, other = depth[sy, sx] - z, depth[oy, ox] - z
                away = np.sqrt(dx * dx + dy * dy) * pixel
                # Far above is another part in front, no crevice.
                if near > reach * 2.0:
                    near = 0.0
                if other > reach * 2.0:
                    other = 0.0
                rise = max(near, -away) + max(other, -away)
                hidden += min(max(rise / (2.0 * away) - 0.06, 0.0), 1.0)
            raw[y, x] = 1.0 - hidden / samples
    return raw


@njit(cache=True, nogil=True)
def _smooth(values, depth, tolerance):
    """Mean over 4 × 4 neighbours at about the same depth, which removes the pattern of the samples."""
    height, width = depth.shape
    result = np.ones((height, width), np.float32)
    for y in range(height):
        for x in range(width):
            z = depth[y, x]
            if z == -np.inf:
                continue
            total, count = 0.0, 0
            for dy in range(-2, 2):
                for dx in range(-2, 2):
                    sy, sx = y + dy, x + dx
                    if 0 <= sy < height and 0 <= sx < width and abs(depth[sy, sx] - z) < tolerance:
                        total += values[sy, sx]
                        count += 1
            result[y, x] = total / count
    return result


@njit(cache=True, nogil=True)
def _shade(
    nearest, weights, depth, open_sky, triangles, normals, faces, colours, shine, flat,
    lights, light_colours, to_shadow, shadow_origin, shadow, pixel, background,
):  # fmt: skip
    """Colours (h, w, 3), linear. Normals are in the camera's axes; to_shadow maps camera space to the shadow map."""
    height, width = nearest.shape
    image = np.empty((height, width, 3), np.float32)
    # Light creeps around in skin, red furthest: wrapped diffuse light per channel.
    wrap = np.array([0.30, 0.12, 0.08])
    size = shadow.shape[0]
    n = np.zeros(3)
    base = np.zeros(3)
    for y in range(height):
        for x in range(width):
            t = nearest[y, x]
            if t < 0:
                image[y, x] = background[y]
                continue
            a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            u, v = weights[y, x, 0], weights[y, x, 1]
            w = 1.0 - u - v
            for d in range(3):
                n[d] = faces[t, d] if flat[a] else w * normals[a, d] + u * normals[b, d] + v * normals[c, d]
                base[d] = w * colours[a, d] + u * colours[b, d] + v * colours[c, d]
            length = np.sqrt(n[0] * n[0] + n[1] * n[1] + n[2] * n[2])
            if length > 0.0:
                n /= length
            inner = faces[t, 2] < 0.0
            if inner:
                n *= -1.0
            facing = n[0] * lights[0, 0] + n[1] * lights[0, 1] + n[2] * lights[0, 2]
            # Soft shadow: share of 3 × 3 places of the shadow map that see the light; asked for a little
            # above the surface, so that flat triangles of a round surface do not shadow each other.
            px = (x + 0.5) * pixel + n[0] * _SHADOW_BIAS
            py = (y + 0.5) * pixel - n[1] * _SHADOW_BIAS
            pz = depth[y, x] + n[2] * _SHADOW_BIAS
            sx = to_shadow[0, 0] * px + to_shadow[0, 1] * py + to_shadow[0, 2] * pz + shadow_origin[0]
            sy = to_shadow[1, 0] * px + to_shadow[1, 1] * py + to_shadow[1, 2] * pz + shadow_origin[1]
            sz = to_shadow[2, 0] * px + to_shadow[2, 1] * py + to_shadow[2, 2] * pz + shadow_origin[2]
            lit = 0.0
            for dy in range(-3, 4, 3):
                for dx in range(-3, 4, 3):
                    qx, qy = int(sx) + dx, int(sy) + dy
                    if not (0 <= qx < size and 0 <= qy < size) or shadow[qy, qx] <= sz + _SHADOW_BIAS:
                        lit += 1.0
            lit = _SHADOW_LIGHT + (1.0 - _SHADOW_LIGHT) * lit / 9.0
            # Where the surface turns away from the light, its own shading fades it; the map would show its facets.
            turned = min(max((facing - 0.05) / 0.25, 0.0), 1.0)
            lit = 1.0 - turned * (1.0 - lit)
            sky = open_sky[y, x]
            filled = max(0.0, n[0] * lights[1, 0] + n[1] * lights[1, 1] + n[2] * lights[1, 2])
            edge = max(0.0, n[0] * lights[2, 0] + n[1] * lights[2, 1] + n[2] * lights[2, 2])
            grazing = 1.0 - min(max(n[2], 0.0), 1.0)
            fresnel = grazing * grazing * grazing * grazing
            # Blinn-Phong with the half vector of key light and camera (0, 0, 1): a broad and a narrow highlight.
            hx, hy, hz = lights[0, 0], lights[0, 1], lights[0, 2] + 1.0
            half = max(0.0, (n[0] * hx + n[1] * hy + n[2] * hz) / np.sqrt(hx * hx + hy * hy + hz * hz))
            broad = half * half  # powers of two by squaring: a general power takes longer than all the rest
            for _ in range(3):
                broad *= broad
            narrow = broad * broad * broad * broad
            gloss = shine[a] * lit * (0.05 * broad + 0.09 * narrow) * max(0.0, min(1.0, 4.0 * facing))
            for d in range(3):
                key = max(0.0, (facing + wrap[d]) / (1.0 + wrap[d])) * lit * light_colours[0, d]
                up = 0.5 + 0.5 * n[1]
                around = (up * light_colours[3, d] + (1.0 - up) * light_colours[4, d]) * sky
                # Crevices of skin glow red instead of going grey.
                bleed = sky * (1.0 + wrap[d] * (1.0 - sky))
                value = base[d] * (key * (0.45 + 0.55 * bleed) + filled * light_colours[1, d] * bleed + around)
                value += light_colours[2, d] * edge * (0.06 + 0.5 * fresnel) * shine[a] * sky
                value += gloss * light_colours[0, d]
                image[y, x, d] = value * (0.35 if inner else 1.0)
    return image


def _spiral() -> NDArray[np.float32]:
    """Neighbours of a pixel for ambient occlusion in units of the reach, shape (16, samples, 2): a spiral, 16 turns."""
    k = np.arange(_OCCLUSION_SAMPLES) + 0.5
    golden = np.pi * (3 - 5**0.5)
    turn = np.random.default_rng(0).permutation(16)[:, None] * (np.pi / 16)
    radius = np.sqrt(k / _OCCLUSION_SAMPLES)
    return np.stack([radius * np.cos(golden * k + turn), radius * np.sin(golden * k + turn)], axis=2).astype(np.float32)


def render(models: Sequence[Model], view: View, light: Light | None = None) -> NDArray[np.uint8]:
    """Pictures the models: (height, width, 3) sRGB. An empty list gives the background alone."""
    light = light or Light()
    width, height = (SUPERSAMPLING * p for p in view.pixels)
    pixel = view.height / height
    background = _background(height)
    models = [m for m in models if len(m.triangles)]
    if not models:
        return to_srgb(_shrink(np.repeat(background[:, None], width, axis=1)))
    camera, triangles = _before_camera(models, view)
    colours = np.concatenate([m.colours for m in models]).astype(np.float32)
    shine = np.concatenate([np.full(len(m.vertices), m.shininess, np.float32) for m in models])
    flat = np.concatenate([np.full(len(m.vertices), m.flat) for m in models])

    faces = triangle_normals(camera, triangles)
    normals = _smooth_normals(faces, triangles, len(camera))
    faces = faces / np.maximum(np.linalg.norm(faces, axis=1, keepdims=True), 1e-30)
    # Camera space with its origin in the upper left corner, y downwards, in metres; pixels are metres / pixel.
    corner = np.array([width * pixel / 2, height * pixel / 2, 0.0])
    flip = np.array([1.0, -1.0, 1.0])
    screen = camera * flip + corner
    nearest, weights, depth = _rasterise(screen * [1 / pixel, 1 / pixel, 1.0], triangles, width, height)

    directions = np.array([light.key, light.fill, light.rim], float)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    to_shadow, origin, shadow = _shadow_map(screen, triangles, directions[0] * flip)
    reach = max(_OCCLUSION_REACH / pixel, 4.0)
    open_sky = _smooth(_occlusion(depth, pixel, _OCCLUSION_REACH, _spiral() * np.float32(reach)), depth, 4e-3)
    powers = np.array([light.key_colour, light.fill_colour, light.rim_colour, light.sky, light.ground])
    image = _shade(
        nearest, weights, depth, open_sky, triangles, normals, faces, colours, shine, flat, directions, powers,
        to_shadow, origin, shadow, pixel, background,
    )  # fmt: skip
    return to_srgb(_shrink(image))


def render_all(tasks: Sequence[tuple[Sequence[Model], View, Light]]) -> list[NDArray[np.uint8]]:
    """Several pictures at once, on all cores."""
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        return list(pool.map(lambda task: render(*task), tasks))


def _before_camera(models: Sequence[Model], view: View) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """All models as one: vertices (n, 3) in the camera's axes about the view's centre [m], triangles (m, 3)."""
    axes = view.axes()
    starts = np.cumsum([0] + [len(m.vertices) for m in models[:-1]])
    triangles = np.concatenate([m.triangles + s for m, s in zip(models, starts, strict=True)]).astype(np.int32)
    return np.concatenate([(np.asarray(m.vertices, np.float64) - view.centre) @ axes.T for m in models]), triangles


def _smooth_normals(faces: NDArray, triangles: NDArray, count: int) -> NDArray[np.float64]:
    normals = np.empty((count, 3))
    index = triangles.ravel()
    for d in range(3):
        normals[:, d] = np.bincount(index, np.repeat(faces[:, d], 3), minlength=count)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)


def _shadow_map(screen: NDArray, triangles: NDArray, direction: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Depth buffer seen from the light: matrix and origin from screen space [m] to the map, and the map (s, s)."""
    side = np.cross(direction, [0.0, 1.0, 0.0] if abs(direction[1]) < 0.9 else [1.0, 0.0, 0.0])
    side /= np.linalg.norm(side)
    matrix = np.stack([side, np.cross(direction, side), direction])
    seen = screen @ matrix.T
    low, high = seen.min(axis=0), seen.max(axis=0)
    scale = (_SHADOW_SIZE - 8) / max(float((high - low)[:2].max()), 1e-9)
    size = np.array([scale, scale, 1.0])
    origin = np.array([4.0, 4.0, 0.0]) - low * size * [1, 1, 0]
    _, _, depth = _rasterise(seen * size + origin, triangles, _SHADOW_SIZE, _SHADOW_SIZE)
    return matrix * size[:, None], origin, depth


def _background(height: int) -> NDArray[np.float32]:
    """A quiet grey that is a little lighter below, (height, 3) linear."""
    share = np.linspace(0.0, 1.0, height)[:, None]
    return ((1 - share) * [0.055, 0.060, 0.068] + share * [0.115, 0.120, 0.128]).astype(np.float32)


def _shrink(image: NDArray) -> NDArray:
    """Averages blocks of pixels: the mean of light, not of display values."""
    height, width = image.shape[0] // SUPERSAMPLING, image.shape[1] // SUPERSAMPLING
    image = np.minimum(image, 1.5)  # one glint must not outshine its whole pixel
    total = np.zeros((height, width, 3), np.float32)
    for dy in range(SUPERSAMPLING):
        for dx in range(SUPERSAMPLING):
            total += image[dy::SUPERSAMPLING, dx::SUPERSAMPLING]
    return total / SUPERSAMPLING**2


def to_srgb(linear: NDArray) -> NDArray[np.uint8]:
    """Linear light to display values; above 0.7 highlights roll off instead of clipping."""
    value = np.maximum(linear, 0.0)
    value = np.where(value > 0.7, 0.7 + 0.3 * (1 - np.exp(-(value - 0.7) / 0.3)), value)
    curve = np.where(value <= 0.0031308, 12.92 * value, 1.055 * np.power(value, 1 / 2.4) - 0.055)
    return (np.clip(curve, 0, 1) * 255 + 0.5).astype(np.uint8)


def coverage(points: NDArray, triangles: NDArray, width: int, height: int) -> NDArray[np.float32]:
    """Share of each pixel that flat triangles cover, (height, width) in 0..1; points (n, 2) [px], y downwards."""
    fine = 4
    flat = np.column_stack([np.asarray(points, np.float64) * fine, np.zeros(len(points))])
    nearest, _, _ = _rasterise(flat, np.asarray(triangles, np.int32), width * fine, height * fine)
    return (nearest >= 0).reshape(height, fine, width, fine).mean(axis=(1, 3)).astype(np.float32)


def visible(models: Sequence[Model], view: View) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Model and triangle at each pixel, without shading, (h, w) each; -1 for the background."""
    width, height = view.pixels
    camera, triangles = _before_camera(models, view)
    pixel = view.height / height
    screen = camera * [1 / pixel, -1 / pixel, 1.0] + [width / 2, height / 2, 0.0]
    nearest, _, _ = _rasterise(screen, triangles, width, height)
    first = np.cumsum([0] + [len(m.triangles) for m in models])
    model = np.searchsorted(first, nearest, side="right") - 1
    triangle = nearest - first[np.maximum(model, 0)]
    seen = nearest >= 0
    return np.where(seen, model, -1).astype(np.int32), np.where(seen, triangle, -1).astype(np.int32)
