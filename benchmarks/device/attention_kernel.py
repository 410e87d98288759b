"""The paged attention kernel: against torch's own operators, and how fast it reads the cache."""

import torch

from benchmarks.device.setting import Setting, Table
from model.attention.log_sum_exp import attend_tokens

_PAGE = 64


def measure(setting: Setting) -> Table:
    from model.attention.triton_kernel import attend_pages  # Triton is not everywhere

    heads, kv_heads, width = setting.pick((32, 8, 128), (4, 2, 16))
    many = ((256, 300), (256, 600), (32, 4096), (4, 30_000), (1, 30_000))
    found: Table = []
    for rows, length in setting.pick(many, ((2, 70),)):
        pages = -(-length // _PAGE)
        keys, values = (_random(setting, rows * pages, kv_heads, _PAGE, width, seed=i) for i in (1, 2))
        q = _random(setting, rows, heads, width)
        table = torch.randperm(rows * pages).to(setting.device, torch.int32).view(rows, pages)
        begins = torch.zeros(rows, dtype=torch.int32, device=setting.device)
        ends = torch.full_like(begins, length)
        attended, lse = attend_pages(q, keys, values, table, begins, ends)
        of_first = (x[table[0].long()].transpose(1, 2).flatten(0, 1)[:length].float() for x in (keys, values))
        expected, expected_lse = attend_tokens(q[:1].float(), *of_first)
        taken = setting.milliseconds(lambda: attend_pages(q, keys, values, table, begins, ends))  # noqa: B023
        read = 2 * rows * length * kv_heads * width * q.element_size()
        found.append(
            {
                "rows": rows,
                "tokens of each": length,
                "ms": taken,
                "TB/s": read / taken / 1e9,
                "largest difference": float((attended[0].float() - expected[0]).abs().max()),
                "of log-sum-exp": float((lse[0] - expected_lse[0]).abs().max()),
            }
        )
    return found


def _random(setting: Setting, *shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator(setting.device).manual_seed(seed)
    return torch.randn(*shape, generator=generator, device=setting.device, dtype=setting.dtype)
