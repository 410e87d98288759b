"""What `python -m jobs bench engine` prints of its report."""

from typing import Any

from rich.table import Table

from jobs.terminal import Terminal


def show(name: str, measured: dict[str, Any]) -> None:
    table = Table(title=f"{name}: {measured['rows']} rows", title_justify="left", box=None)
    unit = measured["unit"]
    for heading in ("", f"{unit}/s", "all tokens/s", "seconds", "x ours", "x CPU", "of floor", "equal", "GB"):
        table.add_column(heading, justify="right" if heading else "left")
    for contender, result in measured["contenders"].items():
        table.add_row(
            contender,
            *(f"{result[key]:,.1f}" for key in ("output_a_second", "total_a_second", "seconds")),
            *(
                "" if result[key] is None else f"{result[key]:.2f}"
                for key in ("times_slower_than_ours", "times_more_cpu_than_ours", "of_floor")
            ),
            "" if result["rows_equal_to_ours"] is None else str(result["rows_equal_to_ours"]),
            f"{result['peak_bytes'] / 1e9:.2f}",
        )
    console = Terminal()
    console.print(table)
    for contender, result in measured["contenders"].items():
        if result["breakdown"]:
            console.print(f"{contender}: {_breakdown(result['breakdown'])}", soft_wrap=True)
        if result["steps"]:
            console.print(f"{contender}: {_steps(result['steps'])}", soft_wrap=True)
        if result["note"]:
            console.print(f"{contender}: {result['note']}", soft_wrap=True)
    for contender, found in measured.get("transformers_tokens", {}).items():
        console.print(f"{contender}: {_same_tokens(found)}", soft_wrap=True)
    for sentence in measured["left_out"]:
        console.print(sentence, soft_wrap=True)
    for contender, words in measured["failed"].items():
        console.print(f"{contender} failed: {words.splitlines()[-1]}", soft_wrap=True)


def _breakdown(found: dict[str, Any]) -> str:
    shares = ", ".join(f"{name} {share:.0%}" for name, share in found["shares"].items())
    occupancy = found["decode_occupancy"]
    rows = "" if occupancy is None else f", {occupancy:.0%} of the rows decode"
    return f"{shares}; {found['steps']} steps{rows}"


def _steps(found: dict[str, Any]) -> str:
    """Of the phases around the late prompt: how long the longest step took beside the median."""
    told = []
    for phase, steps in found.items():
        words = f"{phase} the late prompt {steps['count']} steps"
        if steps["count"]:
            words += f", median {1e3 * steps['median_seconds']:,.1f} ms"
            words += f", longest {1e3 * steps['longest_seconds']:,.1f} ms"
        told.append(words)
    return "; ".join(told)


def _same_tokens(found: dict[str, Any]) -> str:
    """Names every row that differs, where it was looked up how nearly it does."""
    told = [f"{found['same']} of {found['rows']} rows have transformers' tokens"]
    for one in found.get("differences", []):
        apart = f"logits {one['tokens_apart']:.1e} apart"
        if one["experts_apart"] is not None:
            apart += f", experts {one['experts_apart']:.1e}"
        kind = "a near-tie" if one["near_tie"] else "NOT a near-tie"
        told.append(f"row {one['row']} differs from token {one['token']} on, {kind} ({apart})")
    return "; ".join(told)
