"""Reduced precision: fp16, int8, and which layers stay in fp32."""
