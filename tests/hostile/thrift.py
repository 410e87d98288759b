"""Parquet footers by hand, for what no writer would write: the thrift compact protocol."""

import struct

I32, I64, BINARY, LIST, STRUCT = 5, 6, 8, 9, 12


def footer_only(depth: int = 0, rows: int = 0, path: bytes = b"text") -> bytes:
    """No data: an optional int32 column `text` under `depth` groups, and a row group that names it `path`."""
    groups = [_element(b"text" if n == 0 else b"x", children=1) for n in range(depth)]
    leaf = _struct(
        (1, I32, _zigzag(1)), (3, I32, _zigzag(1)), (4, BINARY, _binary(b"x" if depth else b"text"))
    )
    schema = [_element(b"schema", children=1), *groups, leaf]
    meta = _struct(
        (1, I32, _zigzag(1)), (2, LIST, _list(I32, [_zigzag(0)])),
        (3, LIST, _list(BINARY, [_binary(path)])),
        (4, I32, _zigzag(0)), (5, I64, _zigzag(rows)), (6, I64, _zigzag(0)), (7, I64, _zigzag(0)),
        (9, I64, _zigzag(4)),
    )  # fmt: skip
    column = _struct((2, I64, _zigzag(4)), (3, STRUCT, meta))
    group = _struct((1, LIST, _list(STRUCT, [column])), (2, I64, _zigzag(0)), (3, I64, _zigzag(rows)))
    footer = _struct(
        (1, I32, _zigzag(2)), (2, LIST, _list(STRUCT, schema)), (3, I64, _zigzag(rows)),
        (4, LIST, _list(STRUCT, [group] if rows else [])),
    )  # fmt: skip
    return b"PAR1" + footer + struct.pack("<I", len(footer)) + b"PAR1"


def _element(name: bytes, children: int) -> bytes:
    return _struct((3, I32, _zigzag(1)), (4, BINARY, _binary(name)), (5, I32, _zigzag(children)))


def _struct(*fields: tuple[int, int, bytes]) -> bytes:
    out, last = b"", 0
    for number, kind, value in fields:
        out += bytes([(number - last) << 4 | kind]) + value
        last = number
    return out + b"\0"


def _list(kind: int, items: list[bytes]) -> bytes:
    return bytes([0xF0 | kind]) + _varint(len(items)) + b"".join(items)


def _binary(value: bytes) -> bytes:
    return _varint(len(value)) + value


def _zigzag(number: int) -> bytes:
    return _varint((number << 1) ^ (number >> 63))


def _varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])
