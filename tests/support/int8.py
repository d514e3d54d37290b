"""Tests of int8 that need a CPU on which engines compute it exactly."""

from __future__ import annotations

import pytest

from export.runtime.devices.cpu_features import computes_int8_exactly

needs_exact_int8 = pytest.mark.skipif(not computes_int8_exactly(), reason="this CPU has no VNNI: int8 is not exact")
