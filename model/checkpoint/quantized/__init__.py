"""Uploads whose weights are quantized, shown as if they were plain: one file for each format."""
