"""One Arrow type for all that store the same values in different ways, so that columns of files agree."""

import pyarrow as pa


def plain_type(type_: pa.DataType) -> pa.DataType:
    """The type with small offsets, and with values in place of dictionaries and runs, at every level."""
    types = pa.types
    if types.is_dictionary(type_) or types.is_run_end_encoded(type_):
        return plain_type(type_.value_type)
    if types.is_large_string(type_) or types.is_string_view(type_):
        return pa.string()
    if types.is_large_binary(type_) or types.is_binary_view(type_):
        return pa.binary()
    if types.is_list(type_) or types.is_large_list(type_):
        return pa.list_(plain_type(type_.value_type))
    if types.is_fixed_size_list(type_):
        return pa.list_(plain_type(type_.value_type), type_.list_size)
    if types.is_map(type_):
        return pa.map_(plain_type(type_.key_type), plain_type(type_.item_type))
    if types.is_struct(type_):
        return pa.struct([(field.name, plain_type(field.type)) for field in type_])
    return type_


def as_plain(column: pa.Array) -> pa.Array:
    """The same values in the plain type."""
    type_ = plain_type(column.type)
    return column if column.type == type_ else column.cast(type_)
