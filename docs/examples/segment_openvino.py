"""python segment_openvino.py lesion.xml photo.jpg mask.png   (pip install openvino pillow numpy)

lesion.xml is what `seg-export openvino lesion.onnx` writes; lesion.onnx itself will do, too.

OpenVINO ignores the antialiasing of the graph's first Resize, so the image is brought to the model's size beforehand,
and the probabilities to the image's size afterwards.
"""

import json
import sys

import numpy as np
import openvino
from PIL import Image

path, photo, out = sys.argv[1:]
core = openvino.Core()
network = core.read_model(path)


def field(name: str) -> float:
    is_ir = network.has_rt_info(["seglab", name])
    value: float = json.loads(network.get_rt_info(["seglab", name] if is_ir else ["framework", f"seglab.{name}"]).value)
    return value


size, threshold = int(field("size")), field("threshold")
# Left to itself, OpenVINO computes in bf16 wherever the CPU can.
model = core.compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
picture = Image.open(photo).convert("RGB")
image = np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR))
prob = model({"image": image[None]})["prob"][0, 0]  # float32 (S, S)
full = np.asarray(Image.fromarray(prob).resize(picture.size, Image.Resampling.BILINEAR))
Image.fromarray(np.where(full >= threshold, 255, 0).astype(np.uint8)).save(out)
