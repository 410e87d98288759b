import pytest
import torch

from model.config import ModelConfig
from model.machine.device import batch_rows, compute_dtype, default_device, machine, page_size

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
FLOAT = torch.float32


def test_compute_dtype(checkpoint):
    config = ModelConfig.from_folder(checkpoint("mixtral"))
    assert compute_dtype("auto", config, CPU) is FLOAT
    assert compute_dtype("bfloat16", config, CPU) is torch.bfloat16
    with pytest.raises(ValueError, match="dtype must be auto or one of float32, bfloat16, float16, got int8"):
        compute_dtype("int8", config, CPU)


def test_the_device_is_a_gpu_where_torch_sees_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert default_device() == CPU
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert default_device() == GPU


def test_a_gpu_takes_larger_batches_and_pages():
    assert (batch_rows(CPU), batch_rows(GPU)) == (128, 256)
    assert (page_size(CPU), page_size(GPU)) == (32, 64)


def test_what_bits_depend_on_names_the_processor_and_the_number_type():
    found = machine(CPU, torch.bfloat16, "plain")
    assert found.keys() == {"device", "torch", "dtype"}, "on CPUs all attention is the same"
    assert found["dtype"] == "bfloat16"
    assert found["device"].endswith(torch.backends.cpu.get_cpu_capability())
