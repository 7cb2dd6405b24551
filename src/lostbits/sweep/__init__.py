"""Layer by layer and block by block through the float and the quantized network."""
