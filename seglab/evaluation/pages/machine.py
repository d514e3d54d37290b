"""What a page says of the machine and of the packages on it: no host name, no user, no path."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

import torch

PACKAGES = (
    "seglab", "torch", "torchvision", "lightning", "segmentation-models-pytorch", "timm", "numpy",
    "opencv-python-headless", "pillow", "simplejpeg",
)  # fmt: skip
CPU_INFO = Path("/proc/cpuinfo")


def machine_facts(device: str) -> dict[str, str]:
    """Return the device, the CPU with its cores, the system, and versions. ``device``: a torch device name."""
    facts = {"Device": device}
    if torch.device(device).type == "cuda":
        facts["GPU"] = torch.cuda.get_device_name(torch.device(device))
    facts["CPU"] = f"{_cpu()}, {os.cpu_count() or 1} cores"
    facts["System"] = f"{platform.system()} {platform.machine()}"
    facts["Versions"] = ", ".join(f"{name} {version}" for name, version in _versions().items())
    return facts


def _cpu() -> str:
    if CPU_INFO.exists():
        for line in CPU_INFO.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _versions() -> dict[str, str]:
    versions = {"Python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions
