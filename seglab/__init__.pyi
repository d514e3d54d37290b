# What type checkers see: the module itself finds these functions by name, see there.
from batch.api.segmenting import segment as segment
from export.segmenter.loading import load as load
from seglab import errors as errors
from seglab.api.training import train as train
from seglab.api.validation import validate as validate

__all__ = ["__version__", "errors", "load", "segment", "train", "validate"]
__version__: str
