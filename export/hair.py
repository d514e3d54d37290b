"""Hair removal as ONNX operators: what :func:`seglab.hair.remove_hair` does, to the last bit.

Every value is a whole number that fp32 holds exactly, so that it makes no difference in which order a runtime adds.
What OpenCV walks through with a queue (the hysteresis of Canny's edges, connected regions, filling from the rim) are
loops here, which stop when nothing changes any more.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from seglab.hair import DARKER, EDGES, FILL_WEIGHTS, hair_length, hair_width

GREY = """
    pixels = Round (resized)
    weighted = Conv (pixels, grey_weights)
    halves_up = Add (weighted, grey_half)
    scaled_down = Div (halves_up, grey_one)
    grey = Floor (scaled_down)
"""
DARK = """
    wide = MaxPool <kernel_shape = [1, {width}], pads = [0, {reach}, 0, {reach}]> (grey)
    high = MaxPool <kernel_shape = [{width}, 1], pads = [{reach}, 0, {reach}, 0]> (grey)
    dilated = Max (wide, high)
    negative = Neg (dilated)
    negative_wide = MaxPool <kernel_shape = [1, {width}], pads = [0, {reach}, 0, {reach}]> (negative)
    negative_high = MaxPool <kernel_shape = [{width}, 1], pads = [{reach}, 0, {reach}, 0]> (negative)
    negative_closed = Max (negative_wide, negative_high)
    closed = Neg (negative_closed)
    deeper = Sub (closed, grey)
    is_dark = Greater (deeper, darker)
    dark = Cast <to = 1> (is_dark)
"""
"""Black-hat with a cross, a threshold."""

GRADIENT = """
    framed = Pad <mode = "edge"> (grey, frame)
    slopes = Conv (framed, sobel)
    steepness = Abs (slopes)
    across, down = Split <axis = 1, num_outputs = 2> (steepness)
    magnitude = Add (across, down)
"""
THINNING = """
    around = Conv <pads = [1, 1, 1, 1]> (magnitude, neighbours)
    nw, n, ne, w, e, sw, s, se = Split <axis = 1, num_outputs = 8> (around)
    flat_limit = Mul (across, tangent)
    twice_across = Add (across, across)
    rise = Sub (down, twice_across)
    is_flat = Less (down, flat_limit)
    is_steep = Greater (rise, flat_limit)
    over_w = Greater (magnitude, w)
    from_e = GreaterOrEqual (magnitude, e)
    peak_flat = And (over_w, from_e)
    over_n = Greater (magnitude, n)
    from_s = GreaterOrEqual (magnitude, s)
    peak_steep = And (over_n, from_s)
    over_nw = Greater (magnitude, nw)
    over_se = Greater (magnitude, se)
    peak_falling = And (over_nw, over_se)
    over_ne = Greater (magnitude, ne)
    over_sw = Greater (magnitude, sw)
    peak_rising = And (over_ne, over_sw)
    slope_across, slope_down = Split <axis = 1, num_outputs = 2> (slopes)
    slope_product = Mul (slope_across, slope_down)
    is_rising = Less (slope_product, nought)
    is_falling = Not (is_rising)
    is_straight = Or (is_flat, is_steep)
    is_diagonal = Not (is_straight)
    edge_flat = And (is_flat, peak_flat)
    edge_steep = And (is_steep, peak_steep)
    edge_straight = Or (edge_flat, edge_steep)
    edge_rising = And (is_rising, peak_rising)
    edge_falling = And (is_falling, peak_falling)
    some_diagonal = Or (edge_rising, edge_falling)
    edge_diagonal = And (is_diagonal, some_diagonal)
    peak = Or (edge_straight, edge_diagonal)
    over_low = Greater (magnitude, low_edge)
    over_high = Greater (magnitude, high_edge)
    is_edge = And (peak, over_low)
    is_sure = And (peak, over_high)
    edge = Cast <to = 1> (is_edge)
    sure = Cast <to = 1> (is_sure)
"""
"""Non-maximum suppression along the gradient, in the four directions and with the ties of OpenCV's Canny."""

FOUND = """
    edges = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (traced)
    sharp = Mul (dark, edges)
    found = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (sharp)
    places = Mul (found, coordinates)
"""
LONG = """
    right, bottom, left, top = Split <axis = 1, num_outputs = 4> (reached)
    columns = Add (right, left)
    rows = Add (bottom, top)
    longer = Max (columns, rows)
    is_hair = GreaterOrEqual (longer, long_enough)
    is_skin = Not (is_hair)
    skin = Cast <to = 1> (is_skin)
"""
"""The larger side of the box around every region, from how far its pixels reach to the four sides."""

SPREAD = """
    {to} = Loop <body = spread_{to} (int64 turn, bool before, float[N, C, H, W] was) => (again, now) {{
        {steps}
        change = Sub (now, was)
        largest = ReduceMax <keepdims = 0> (change)
        again = Greater (largest, nought)
    }}> (endless, start, {source})
"""
STEP = """
        wider_{k} = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> ({source})
        {to} = Mul (wider_{k}, {within})
"""
FILL = """
    filled_skin, filled = Loop <body = fill (
        int64 turn, bool before, float[N, 1, H, W] known, float[N, 3, H, W] colour
    ) => (again, nearer, painted) {{
        nearer = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (known)
        rim = Sub (nearer, known)
        is_rim = Greater (rim, nought)
        known_colour = Mul (colour, known)
        colours = Conv <group = 3, pads = [{reach}, {reach}, {reach}, {reach}]> (known_colour, fill_weights)
        weights = Conv <pads = [{reach}, {reach}, {reach}, {reach}]> (known, fill_weight)
        some_weight = Max (weights, one)
        mean = Div (colours, some_weight)
        whole = Round (mean)
        painted = Where (is_rim, whole, colour)
        any_rim = ReduceMax <keepdims = 0> (rim)
        again = Greater (any_rim, nought)
    }}> (endless, start, skin, pixels)
"""
RESULT = "filled"
STEPS = 8
"""Steps between two looks at whether anything changed."""
GREY_BITS = 15
"""OpenCV's weights of R, G and B (ITU-R BT.601) are whole numbers of this many bits."""
GREY_WEIGHTS = (9798, 19235, 3735)
TANGENT = 13573 / 2**15
"""Of 22.5 degrees, as OpenCV's Canny has it."""


def hair_stage(size: int) -> tuple[str, dict[str, NDArray[Any]]]:
    """Return the stage as ONNX text, from ``resized`` to :data:`RESULT`, both float ``(N, 3, S, S)`` on 0-255, and its
    constants.
    """
    width = hair_width(size)
    text = "".join(
        (
            GREY,
            DARK.format(width=width, reach=width // 2),
            GRADIENT,
            THINNING,
            _spread("sure", "traced", within="edge"),
            FOUND,
            _spread("places", "reached", within="found"),
            LONG,
            FILL.format(reach=FILL_WEIGHTS.shape[0] // 2),
        )
    )
    return text, _constants(size)


def _spread(source: str, to: str, within: str) -> str:
    """Return a loop in which every pixel takes the largest value around it, inside a mask, until nothing changes."""
    names = ["was", *(f"after_{k}" for k in range(1, STEPS)), "now"]
    steps = "".join(STEP.format(k=k, source=names[k], to=names[k + 1], within=within) for k in range(STEPS))
    return SPREAD.format(to=to, steps=steps, source=source)


def _constants(size: int) -> dict[str, NDArray[Any]]:
    ramp = np.arange(1, size + 1, dtype=np.float32)  # 1 .. S: 0 is where no region is
    columns, rows = np.meshgrid(ramp, ramp)
    backwards = size + 1
    coordinates = np.stack([columns, rows, backwards - columns, backwards - rows])[None]  # (1, 4, S, S)
    sobel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], np.float32)
    around = np.delete(np.eye(9, dtype=np.float32), 4, axis=0)
    return {
        "grey_weights": np.array(GREY_WEIGHTS, np.float32).reshape(1, 3, 1, 1),
        "grey_half": np.array(2 ** (GREY_BITS - 1), np.float32),
        "grey_one": np.array(2**GREY_BITS, np.float32),
        "darker": np.array(DARKER, np.float32),
        "frame": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
        "sobel": np.stack([sobel, sobel.T])[:, None],  # (2, 1, 3, 3)
        "neighbours": around.reshape(8, 1, 3, 3),
        "tangent": np.array(TANGENT, np.float32),
        "low_edge": np.array(EDGES[0], np.float32),
        "high_edge": np.array(EDGES[1], np.float32),
        "nought": np.array(0, np.float32),
        "one": np.array(1, np.float32),
        "coordinates": coordinates.astype(np.float32),
        # columns + rows of a region of length L add up to L + S
        "long_enough": np.array(size + hair_length(size), np.float32),
        "endless": np.array(np.iinfo(np.int64).max),
        "start": np.array(True),
        "fill_weight": FILL_WEIGHTS[None, None],
        "fill_weights": np.tile(FILL_WEIGHTS, (3, 1, 1, 1)),
    }
