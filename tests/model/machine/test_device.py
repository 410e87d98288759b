import pytest
import torch

from model.config import ModelConfig
from model.machine import device as devices
from model.machine.device import (
    auto_dtype,
    batch_rows,
    compute_dtype,
    default_device,
    has_native_bfloat16,
    machine,
    page_size,
    required_device,
)

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
    assert (page_size(CPU), page_size(GPU)) == (16, 64)


def test_what_bits_depend_on_names_the_processor_the_number_type_and_what_computes():
    found = machine(CPU, torch.bfloat16, "compiled", "one by one")
    assert found.keys() == {"device", "torch", "dtype", "attention", "experts"}
    assert (found["dtype"], found["attention"], found["experts"]) == ("bfloat16", "compiled", "one by one")
    assert found["device"].endswith(torch.backends.cpu.get_cpu_capability())


@pytest.fixture
def cpu(tmp_path, monkeypatch):
    """Makes the processor one with these flags."""

    def make(flags):
        file = tmp_path / "cpuinfo"
        file.write_text(f"processor\t: 0\nmodel name\t: A CPU\nflags\t\t: {flags}\n")
        monkeypatch.setattr(devices, "CPUINFO", file)
        devices._of_cpu.cache_clear()

    yield make
    devices._of_cpu.cache_clear()


def test_auto_is_the_checkpoint_s_number_type_where_the_device_multiplies_it(cpu):
    for flags, native in (
        ("fpu avx512f avx512_bf16", True),
        ("fpu amx_bf16 amx_tile", True),
        ("fpu avx512f avx512bw", False),
        ("", False),
    ):
        cpu(flags)
        assert has_native_bfloat16() is native
        found = [auto_dtype(stored, "cpu") for stored in ("bfloat16", "float16", "float32")]
        assert found == ["bfloat16" if native else "float32", "float32", "float32"]
        assert [auto_dtype(stored, "cuda") for stored in ("bfloat16", "float16")] == ["bfloat16", "float16"]


def test_gpus_that_torch_does_not_see_are_an_error_that_says_why(monkeypatch):
    def init():
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 11040). Please update")

    assert required_device("cpu", 8) == CPU
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(
        ValueError, match=r"device gpu: torch .* is built without CUDA and can use none: install"
    ):
        required_device("gpu", 1)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "init", init)
    with pytest.raises(
        ValueError, match=r"built for CUDA 13.0 .*driver on your system is too old .*update the"
    ):
        required_device("gpu", 1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,4")
    assert required_device("gpu", 2) == GPU
    with pytest.raises(ValueError, match=r"4 are needed, torch sees 2 \(CUDA_VISIBLE_DEVICES is 3,4\)"):
        required_device("gpu", 4)
    with pytest.raises(ValueError, match="device must be auto, gpu or cpu, got tpu"):
        required_device("tpu", 1)
