"""Runs steps: on one rank, on all of them, and as captured graphs."""
