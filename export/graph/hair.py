"""Hair removal as ONNX operators, bit for bit equal to :func:`seglab.images.hair.remove_hair`.

Every value is a whole number that fp32 holds exactly, so the order of additions does not matter. What OpenCV does with
a queue (the hysteresis of Canny's edges, connected regions, filling from the rim) is done here in loops that stop when
nothing changes any more.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.contract import HAIRLESS
from seglab.images.hair import DARKER, EDGES, FILL_WEIGHTS, hair_length, hair_width

GREY = """
    pixels = Round (resized)
    weighted_planes = Mul (pixels, grey_weights)
    weighted = ReduceSum (weighted_planes, single)
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
"""A black-hat filter with a cross, and a threshold."""

GRADIENT = """
    framed = Pad <mode = "edge"> (grey, frame)
    framed_twice = Concat <axis = 1> (framed, framed)
    slopes = Conv <group = 2> (framed_twice, sobel)
    slope_sizes = Abs (slopes)
    size_across, size_down = Split <axis = 1, num_outputs = 2> (slope_sizes)
    magnitude = Add (size_across, size_down)
"""
THINNING = """
    around = Conv <pads = [1, 1, 1, 1]> (magnitude, neighbours)
    nw, n, ne, w, e, sw, s, se = Split <axis = 1, num_outputs = 8> (around)
    flat_limit = Mul (size_across, tangent)
    twice_across = Add (size_across, size_across)
    rise = Sub (size_down, twice_across)
    is_flat = Less (size_down, flat_limit)
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
"""Non-maximum suppression along the gradient, in the four directions of OpenCV's Canny, with ties decided as there."""

FOUND = """
    edges = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (traced)
    sharp = Mul (dark, edges)
    found = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (sharp)
"""
REGIONS = """
    number_{mask} = Mul ({mask}, numbers)
    first_{mask} = Reshape (number_{mask}, as_lists)
    images_{mask} = Shape <start = 0, end = 1> (number_{mask})
    outside_shape_{mask} = Concat <axis = 0> (images_{mask}, single)
    outside_{mask} = Expand (nought, outside_shape_{mask})
    region_list_{mask} = Loop <body = regions_{mask} (int64 turn, bool before, float[N, P] was) => (again, now) {{
        picture = Reshape (was, as_picture)
        wider = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (picture)
        inside = Mul (wider, {mask})
        largest_beside = Reshape (inside, as_lists)
        place = Cast <to = 7> (was)
        table = Concat <axis = 1> (outside_{mask}, was)
        hooked = ScatterElements <axis = 1, reduction = "max"> (table, place, largest_beside)
        hook = Cast <to = 7> (hooked)
        jumped = GatherElements <axis = 1> (hooked, hook)
        jump = Cast <to = 7> (jumped)
        landed = GatherElements <axis = 1> (jumped, jump)
        now = GatherElements <axis = 1> (landed, place)
        change = Sub (now, was)
        largest = ReduceMax <keepdims = 0> (change)
        again = Greater (largest, nought)
    }}> (endless, start, first_{mask})
    region_{mask} = Cast <to = 7> (region_list_{mask})
"""
"""Connected regions: every pixel of a mask gets the number of the last pixel of its region, 0 outside.

In every turn each region, at first each pixel, joins the neighbour with the largest number ("hook") and follows where
that one went (two "jumps"), so the number of turns grows with the logarithm of a region's length (Shiloach and Vishkin,
"An O(log n) parallel connectivity algorithm", Journal of Algorithms 3 (1982)).
"""

TRACED = """
    table_shape = Concat <axis = 0> (images_edge, table_length)
    nothing = Expand (nought, table_shape)
    sure_list = Reshape (sure, as_lists)
    has_sure = ScatterElements <axis = 1, reduction = "max"> (nothing, region_edge, sure_list)
    traced_list = GatherElements <axis = 1> (has_sure, region_edge)
    traced = Reshape (traced_list, as_picture)
"""
"""Hysteresis: the connected edges that are sure in at least one pixel."""

LONG = """
    places = Mul (found, coordinates)
    place_lists = Reshape (places, as_four_lists)
    four_shape = Shape (place_lists)
    region_column = Unsqueeze (region_found, single)
    four_regions = Expand (region_column, four_shape)
    four_table_shape = Concat <axis = 0> (images_found, four_table_length)
    four_nothings = Expand (nought, four_table_shape)
    reached = ScatterElements <axis = 2, reduction = "max"> (four_nothings, four_regions, place_lists)
    right, bottom, left, top = Split <axis = 1, num_outputs = 4> (reached)
    columns = Add (right, left)
    rows = Add (bottom, top)
    longer = Max (columns, rows)
    length_column = GatherElements <axis = 2> (longer, region_column)
    length = Reshape (length_column, as_picture)
    is_hair = GreaterOrEqual (length, long_enough)
    is_skin = Not (is_hair)
    skin = Cast <to = 1> (is_skin)
"""
"""The longer side of the box around every region, from how far its pixels reach in the four directions."""

FILL = """
    skin_colour = Mul (pixels, skin)
    known = Concat <axis = 1> (skin_colour, skin)
    everything = Loop <body = fill (int64 turn, bool before, float[N, 4, H, W] was) => (again, now) {{
        wider = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (was)
        colours, nearer = Split <axis = 1> (wider, colours_and_one)
        same_colours, near = Split <axis = 1> (was, colours_and_one)
        rim = Sub (nearer, near)
        is_rim = Greater (rim, nought)
        sums_down = Conv <group = 4, pads = [{reach}, 0, {reach}, 0]> (was, weights_down)
        sums = Conv <group = 4, pads = [0, {reach}, 0, {reach}]> (sums_down, weights_across)
        same_sums, weight = Split <axis = 1> (sums, colours_and_one)
        some_weight = Max (weight, one)
        mean = Div (sums, some_weight)
        whole = Round (mean)
        now = Where (is_rim, whole, was)
        any_rim = ReduceMax <keepdims = 0> (rim)
        again = Greater (any_rim, nought)
    }}> (endless, start, known)
    filled, all_ones = Split <axis = 1> (everything, colours_and_one)
"""
"""Fill ring by ring from the rim. The fourth plane is 1 where the colour is known; its weighted sum is the weight."""

RESULT = HAIRLESS
GREY_BITS = 15
"""OpenCV's weights of R, G and B (ITU-R BT.601) are whole numbers of this many bits."""
GREY_WEIGHTS = (9798, 19235, 3735)
TANGENT = 13573 / 2**15
"""The tangent of 22.5 degrees, as in OpenCV's Canny."""


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
            REGIONS.format(mask="edge"),
            TRACED,
            FOUND,
            REGIONS.format(mask="found"),
            LONG,
            FILL.format(reach=len(FILL_WEIGHTS) // 2),
        )
    )
    return text, _constants(size)


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
        "numbers": np.arange(1, size**2 + 1, dtype=np.float32).reshape(1, 1, size, size),
        "single": np.array([1]),
        "table_length": np.array([size**2 + 1]),
        "as_lists": np.array([-1, size**2]),
        "as_picture": np.array([-1, 1, size, size]),
        "coordinates": coordinates.astype(np.float32),
        "as_four_lists": np.array([-1, 4, size**2]),
        "four_table_length": np.array([4, size**2 + 1]),
        # columns + rows of a region of length L add up to L + S
        "long_enough": np.array(size + hair_length(size), np.float32),
        "endless": np.array(np.iinfo(np.int64).max),
        "start": np.array(True),
        "colours_and_one": np.array([3, 1]),
        "weights_down": np.tile(FILL_WEIGHTS.reshape(1, 1, -1, 1), (4, 1, 1, 1)),
        "weights_across": np.tile(FILL_WEIGHTS.reshape(1, 1, 1, -1), (4, 1, 1, 1)),
    }
