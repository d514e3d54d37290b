"""The stages around the network as ONNX text (onnx/docs/Syntax.md), opset 18; ``{k}``: the number of the network.

Their inputs and outputs are documented where they are put together, in :mod:`export.graph.stages`.
"""

from __future__ import annotations

HEAD = """
    planes = Transpose <perm = [0, 3, 1, 2]> (image)
    floats = Cast <to = 1> (planes)
    images = Shape <start = 0, end = 1> (image)
    network_shape = Concat <axis = 0> (images, planes_shape)
    resized = Resize <
        mode = "linear", antialias = 1, exclude_outside = 1, coordinate_transformation_mode = "half_pixel"
    > (floats, , , network_shape)
"""
NORMALISE = """
    centred{k} = Sub ({source}, offset{k})
    normalised{k} = Mul (centred{k}, scale{k})
"""
TURN_CHANNELS = """
    ordered{k} = Gather <axis = 1> (normalised{k}, bgr)
"""
MIRROR = """
    mirrored{k} = Slice ({source}, last, before_first, width_axis, backwards)
    up{k} = Slice ({source}, last, before_first, height_axis, backwards)
    turned{k} = Slice (up{k}, last, before_first, width_axis, backwards)
    {to} = Concat <axis = 0> ({source}, mirrored{k}, up{k}, turned{k})
"""
ACROSS = """
    across{k} = Transpose <perm = [0, 1, 3, 2]> (four{k})
    views{k} = Concat <axis = 0> (four{k}, across{k})
"""
TO_HALF = """
    halved{k} = Cast <to = 10> ({source})
"""
FROM_HALF = """
    {to} = Cast <to = 1> (half_{to})
"""
SIGMOID = """
    {to} = Sigmoid (logits{k})
"""
SOFTMAX = """
    {to} = Softmax <axis = 1> (logits{k})
"""
ONE_CLASS = """
    {to} = Gather <axis = 1> (all_classes{k}, lesion_class{k})
"""
BACK_FROM_ACROSS = """
    seen_upright{k}, seen_across{k} = Split <axis = 0, num_outputs = 2> (seen_all{k})
    seen_back{k} = Transpose <perm = [0, 1, 3, 2]> (seen_across{k})
    seen_four{k} = Mean (seen_upright{k}, seen_back{k})
"""
UNMIRROR = """
    seen{k}, seen_left{k}, seen_up{k}, seen_turned{k} = Split <axis = 0, num_outputs = 4> ({source})
    unleft{k} = Slice (seen_left{k}, last, before_first, width_axis, backwards)
    unup{k} = Slice (seen_up{k}, last, before_first, height_axis, backwards)
    half_turned{k} = Slice (seen_turned{k}, last, before_first, height_axis, backwards)
    unturned{k} = Slice (half_turned{k}, last, before_first, width_axis, backwards)
    {to} = Mean (seen{k}, unleft{k}, unup{k}, unturned{k})
"""
COMBINE = """
    prob = Mean ({members})
"""
TAIL = """
    kept_shape = Shape <start = 0, end = 2> (prob)
    full_size = Shape <start = 1, end = 3> (image)
    full_shape = Concat <axis = 0> (kept_shape, full_size)
    full = Resize <mode = "linear", coordinate_transformation_mode = "half_pixel"> (prob, , , full_shape)
"""
BINARY = """
    plane = Squeeze (full, class_axis)
    lesion = GreaterOrEqual (plane, threshold)
    mask = Where (lesion, white, black)
"""
LABELS = """
    label = ArgMax <axis = 1, keepdims = 0> (full)
    mask = Cast <to = 2> (label)
"""
POOL = """
    pooled{at} = ReduceMean <keepdims = 0> (features{at}, plane_axes)
"""
POOLED = """
    pooled = Concat <axis = 1> ({each})
"""
FIRST_VIEW = """
    point = Slice (pooled, from_first, images, view_axis)
"""
SCORE = """
    point_centred = Sub ({point}, point_mean)
    standard = Mul (point_centred, point_scale)
    along = MatMul (standard, principal_axes)
    spanned = MatMul (along, axes_back)
    beside = Sub (standard, spanned)
    along_squared = Mul (along, along)
    along_weighted = Mul (along_squared, axis_weights)
    beside_squared = Mul (beside, beside)
    beside_weighted = Mul (beside_squared, rest_weight)
    along_distance = ReduceSum <keepdims = 0> (along_weighted, feature_axis)
    beside_distance = ReduceSum <keepdims = 0> (beside_weighted, feature_axis)
    distance_sum = Add (along_distance, beside_distance)
    distance = Max (distance_sum, least_distance)
    nearness = Div (distance_limit, distance)
    closeness = Log (nearness)
    steep_closeness = Mul (closeness, steepness)
    suitable = Sigmoid (steep_closeness)
"""
