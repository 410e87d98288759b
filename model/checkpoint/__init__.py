"""Weights from safetensors files, under the names that checkpoints give them."""
