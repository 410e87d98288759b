"""Mixtral in PyTorch: token ids in, token ids or scores and routing counts out."""
