"""Which names, numbers and questions training may use, and which are kept for the demo."""

import zlib


def is_held_out(text: str) -> bool:
    """A quarter of all texts, by a checksum: nobody has to keep a list."""
    return zlib.crc32(text.encode()) % 4 == 0
