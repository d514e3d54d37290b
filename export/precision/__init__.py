"""The same graph in fewer bits: fp16, int8, and what stays in fp32."""
