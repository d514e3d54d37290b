"""python segment.py lesion.onnx photo.jpg mask.png   (pip install onnxruntime pillow numpy)"""

import sys

import numpy as np
import onnxruntime
from PIL import Image

model, photo, out = sys.argv[1:]
image = np.asarray(Image.open(photo).convert("RGB"))  # uint8 (H, W, 3), any H and W
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
(mask,) = session.run(["mask"], {"image": image[None]})  # uint8 (1, H, W), 0 or 255
Image.fromarray(mask[0]).save(out)
