"""What ``/openapi.json`` says of ``/v1/masks``."""

from __future__ import annotations

from typing import Any

SUMMARY = "Outlines of lesions on dermoscopy photographs. Not a medical device."
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"file": {"type": "array", "items": {"type": "string", "format": "binary"}}},
                }
            },
            "image/*": {"schema": {"type": "string", "format": "binary"}},
            "application/dicom": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
"""One photograph as the body, or one or several as the files of a form; the names of form fields do not matter."""
EXAMPLE = {
    "format_version": 1,
    "model": {"file": "lesion.onnx", "sha256": "...", "device": "openvino", "precision": "fp32", "classes": ["lesion"]},
    "images": [
        {
            "name": "a.jpg", "height": 450, "width": 600, "lesion_area": 7953, "lesion_fraction": 0.029456,
            "bbox": [211, 190, 321, 286], "confidence": 0.96, "suitable": 0.99, "is_uncertain": False,
            "is_unsuitable": False, "is_cut": False, "remark": None, "outlines": [[211.0, 230.0, 212.0, 228.0]],
        },
        {"name": "b.jpg", "error": "Damaged JPEG. Get the file again."},
    ],
}  # fmt: skip
_PNG_TEXT = "The mask of the only photograph: PNG, 0 or 255, as large as the photograph; figures are in X- headers."
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "By `Accept`: JSON with figures and outlines in pixels (x, y in turn), a PNG, or a zip of PNGs. "
        "In JSON and in a zip a photograph that failed has its reason in its place.",
        "content": {
            "application/json": {"example": EXAMPLE},
            "image/png": {"schema": {"type": "string", "format": "binary", "description": _PNG_TEXT}},
            "application/zip": {"schema": {"type": "string", "format": "binary"}},
        },
    },
    400: {"description": "No file came, or a form that cannot be read."},
    406: {"description": "`Accept` names none of the types of answers."},
    408: {"description": "The request did not arrive in time."},
    413: {"description": "The request has more bytes than allowed."},
    422: {"description": "None of the photographs could be read; the reasons are given."},
    503: {"description": "As many photographs wait as are allowed (`Retry-After`), or the service is being stopped."},
    504: {"description": "There was no mask in time."},
}
