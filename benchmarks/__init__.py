"""Throughput and quality, side by side with the PyTorch original."""
