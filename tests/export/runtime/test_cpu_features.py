"""What Linux says of a CPU, and what a user hears of int8 on a CPU that cannot compute it exactly."""

from __future__ import annotations

from pathlib import Path

import pytest

from export.errors import DeviceError
from export.runtime.devices import cpu_features
from export.runtime.opening import open_model
from export.runtime.probes import verify
from tests.support.artefact import tiny_twins

PLAIN = "processor\t: 0\nmodel name\t: Old One\nflags\t\t: fpu avx2 fma\n"


@pytest.mark.parametrize(
    ("text", "exactly"),
    [
        (PLAIN, False),
        (PLAIN.replace("fma", "avx512f avx512_vnni"), True),
        (PLAIN.replace("fma", "avx_vnni"), True),
        (PLAIN.replace("fma", "amx_int8"), True),
        ("processor\t: 0\nFeatures\t: fp asimd\n", True),
        ("processor\t: 0\n", True),
    ],
)
def test_int8_is_exact_with_vnni(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, exactly: bool) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(cpu_features, "CPU_INFO", tmp_path / "cpuinfo")
    assert cpu_features.computes_int8_exactly() is exactly


@pytest.mark.slow
def test_the_reason_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results that a device does not give are planted: the probes in the file are compared with others."""
    monkeypatch.setattr(verify, "computes_int8_exactly", lambda: False)
    monkeypatch.setattr(verify, "agreement", lambda _one, _other: (9999, 0.5))
    with pytest.raises(DeviceError, match=r"This CPU has no VNNI instructions.*--compute fp32"):
        open_model(next(path for path in tiny_twins(tmp_path) if "int8" in path.name), "openvino")
