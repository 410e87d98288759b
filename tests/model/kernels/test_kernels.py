from dataclasses import fields

from model.kernels.kernels import PLAIN, Kernels


def test_the_plain_ones_are_the_functions_of_their_names():
    assert all(getattr(PLAIN, field.name).__name__ == field.name for field in fields(Kernels)[1:])
