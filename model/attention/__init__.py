"""Attention of a batch's new tokens to each other and to the cached tokens of their rows."""
