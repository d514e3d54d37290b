"""One job on many machines: a manifest in parts; each part is a unit of work, and the first who commits it counts."""
