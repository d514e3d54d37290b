"""Versions of the packages that a run's masks depend on."""

from __future__ import annotations

import platform

PACKAGES = (
    "seglab",
    "numpy",
    "opencv-python-headless",
    "pillow",
    "cykooz.resizer",
    "simplejpeg",
    "onnxruntime-gpu",
    "onnxruntime",
    "openvino",
)


def tool_versions() -> dict[str, str]:
    """Return the versions of Python and of each installed package, by name."""
    from importlib import metadata  # 30 ms that `--help` need not wait for

    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions
