"""Mixtral's network: embedding, attention, experts, norm and head, each rank's share of them."""
