"""Which names, numbers and questions training may use, and which are kept for the demo."""

import zlib


def is_held_out(text: str) -> bool:
    """True for a quarter of all texts, which a checksum chooses, so that no list is needed."""
    return zlib.crc32(text.encode()) % 4 == 0
