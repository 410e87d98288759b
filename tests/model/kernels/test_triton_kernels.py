from dataclasses import fields

import pytest

pytest.importorskip("triton", reason="there are no wheels of it for this machine")
from model.kernels.kernels import Kernels
from model.kernels.triton_kernels import TRITON


def test_each_is_its_own():
    kernels = {field.name: getattr(TRITON, field.name) for field in fields(Kernels)[1:]}
    for name, kernel in kernels.items():
        assert kernel.__name__ == name
        assert kernel.__module__.startswith("model.kernels.triton_")
