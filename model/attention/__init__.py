"""Attention over the tokens of a batch and over what the cache holds of their rows."""
