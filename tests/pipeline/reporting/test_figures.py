"""The heatmap shows the shares it is given, with titles that fit, whatever the groups are called."""

import io
import warnings

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from pipeline.reporting.figures import routing_heatmap


def experts(groups: list[str], layers: int = 3, num_experts: int = 4) -> pd.DataFrame:
    dice = np.random.default_rng(2)
    return pd.DataFrame(
        [
            {
                "group": group,
                "phase": phase,
                "layer": layer,
                "expert": expert,
                "selected": dice.integers(1, 100),
                "tokens": 10 * (place + 1),
            }
            for place, group in enumerate(groups)
            for phase in ("prefill", "decode")
            for layer in range(layers)
            for expert in range(num_experts)
        ]
    )


def panels(figure: Figure) -> dict[str, np.ndarray]:
    return {axis.get_title(): axis.images[0].get_array() for axis in figure.axes if axis.images}


def draw(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(buffer, format="png", dpi=60)
    return buffer.getvalue()


def test_a_panel_a_group_whose_layers_sum_to_one() -> None:
    table = experts(["fr", "de"])
    found = panels(routing_heatmap(table))
    assert list(found) == ["de\n40 tokens", "fr\n20 tokens"]
    of_de = table[table["group"] == "de"].groupby(["layer", "expert"])["selected"].sum().to_numpy()
    of_de = of_de.reshape(3, 4)
    np.testing.assert_allclose(found["de\n40 tokens"], of_de / of_de.sum(axis=1, keepdims=True))
    for shares in found.values():
        np.testing.assert_allclose(shares.sum(axis=1), 1)


def test_white_is_the_even_share_and_one_scale_serves_all_panels() -> None:
    figure = routing_heatmap(experts(["a", "b"]))
    norms = [axis.images[0].norm for axis in figure.axes if axis.images]
    largest = max(0.5, *(shares.max() for shares in panels(figure).values()))
    assert {(norm.vmin, norm.vcenter, norm.vmax) for norm in norms} == {(0, 0.25, largest)}
    alone = experts(["a"]).assign(selected=lambda table: (table["expert"] == 1).astype(int))
    [norm] = [axis.images[0].norm for axis in routing_heatmap(alone).axes if axis.images]
    assert norm.vmax == 1


def test_given_groups_are_shown_in_their_order() -> None:
    assert [title[0] for title in panels(routing_heatmap(experts(["a", "b", "c"]), ["c", "a"]))] == ["c", "a"]


def test_of_many_groups_the_largest_are_shown_and_the_picture_says_so() -> None:
    figure = routing_heatmap(experts([f"group {i:02}" for i in range(30)]))
    assert [title.partition("\n")[0] for title in panels(figure)] == [f"group {i}" for i in range(18, 30)]
    assert figure.get_suptitle() == "12 of 30 groups"


@pytest.mark.parametrize("name", ["$", "$\\frac{", "a\nb\tc", "", "x" * 5_000, "<b>", "100 %_{"])
def test_any_text_is_a_title(name: str) -> None:
    figure = routing_heatmap(experts([name]))
    assert draw(figure).startswith(b"\x89PNG")
    [title] = panels(figure)
    assert title.count("\n") == 1
    assert len(title) < 60


@pytest.mark.parametrize(
    ("groups", "layers", "num_experts"), [(1, 1, 2), (5, 4, 8), (12, 4, 8), (1, 32, 8), (5, 56, 64)]
)
def test_labels_do_not_overlap(groups: int, layers: int, num_experts: int) -> None:
    figure = routing_heatmap(experts([f"language {i}" for i in range(groups)], layers, num_experts))
    figure.draw_without_rendering()
    shown = [axis for axis in figure.axes if axis.images and axis.get_visible()]
    assert len(shown) == groups
    texts = [axis.title for axis in shown]
    for axis in shown:
        texts += [label for label in axis.get_xticklabels() if label.get_visible()]
        texts += [label for label in axis.get_yticklabels() if label.get_visible()]
    texts += [figure._supxlabel, figure._supylabel, figure.axes[-1].yaxis.label]
    page = figure.bbox
    boxes = [text.get_window_extent() for text in texts if text.get_text()]
    assert all(page.x0 <= box.x0 and box.x1 <= page.x1 for box in boxes)
    assert all(page.y0 <= box.y0 and box.y1 <= page.y1 for box in boxes)
    assert not [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]
