"""The sections of a session in their order: what matters most comes first, should time run out."""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.device import (
    attention_kernel,
    bookkeeping,
    captured_steps,
    expert_products,
    gpu_tests,
    label_resolution,
    label_throughput,
    machine_facts,
    out_of_memory,
    roofline,
    step_memory,
    step_profile,
    throughput,
)
from benchmarks.device.setting import Setting, Table


@dataclass(frozen=True)
class Section:
    name: str
    question: str
    limit_seconds: float
    measure: Callable[[Setting], Table]


SECTIONS = [
    Section("machine", "What is it, and how fast is it at best?", 40, machine_facts.measure),
    Section("tests", "Do the tests that need a GPU pass?", 170, gpu_tests.measure),
    Section("captured", "Do captured steps say what uncaptured ones say?", 60, captured_steps.measure),
    Section("throughput", "How many tokens a second does the engine give?", 180, throughput.measure),
    Section(
        "labelling",
        "How many labels a second, and the same ones behind a shared prefix?",
        60,
        label_throughput.measure,
    ),
    Section("profile", "What is the device busy with in a step?", 60, step_profile.measure),
    Section(
        "attention", "Is the paged kernel right, and how near the bandwidth?", 40, attention_kernel.measure
    ),
    Section("roofline", "How near the memory's limit are decode steps?", 60, roofline.measure),
    Section("experts", "How fast are the experts' grouped products?", 40, expert_products.measure),
    Section("memory", "What do steps take beside weights and cache?", 60, step_memory.measure),
    Section(
        "out-of-memory", "Does the engine recover from a step that is too large?", 60, out_of_memory.measure
    ),
    Section("bookkeeping", "What do routing counts and sampling cost?", 40, bookkeeping.measure),
    Section("labels", "What does rounding logits do to a label's probability?", 40, label_resolution.measure),
]
