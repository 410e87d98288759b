"""The tree against a slow search: which full pages of its prompt a row has in common with others."""

from hypothesis import given, settings
from hypothesis import strategies as st

from model.scheduling.prefix_tree import PrefixTree, nodes_below

SIZE = 2
PROMPT = st.lists(st.integers(0, 1), min_size=1, max_size=12)


def common_pages(one, other):
    pages = 0
    while one[: (pages + 1) * SIZE] == other[: (pages + 1) * SIZE] and (pages + 1) * SIZE <= len(one):
        pages += 1
    return pages


def shared_tokens(tree, node):
    path = tree.shared(node)
    return path[-1].end if path else 0


@settings(max_examples=60, deadline=None)
@given(st.lists(PROMPT, max_size=8), st.data())
def test_rows_share_the_pages_that_another_prompt_has_too(prompts, data):
    tree, rows = PrefixTree(SIZE), {}
    for i, prompt in enumerate(prompts):
        rows[i] = tree.add(prompt, len(prompt) - 1)
    for i in data.draw(st.lists(st.sampled_from(range(len(prompts))), unique=True)) if prompts else []:
        tree.remove(rows.pop(i))
    kept = {i: prompts[i][: (len(prompts[i]) - 1) // SIZE * SIZE] for i in rows}
    for i, node in rows.items():
        others = [common_pages(kept[i], kept[j]) for j in rows if j != i]
        assert shared_tokens(tree, node) == SIZE * max(others, default=0)
        assert [one.begin for one in node.path] == [0, *(one.end for one in node.path)][:-1]
    for i, node in [*rows.items()]:
        assert node.prompt[: node.end] == kept[i]
        tree.remove(node)
    assert [*nodes_below(tree.root)] == []
    assert tree.root.children == {}, "nothing is kept of rows that have ended"
    assert tree.root.rows == 0


def test_a_started_node_is_not_divided_and_stays_for_those_that_have_all_of_it():
    tree = PrefixTree(SIZE)
    first, second = (tree.add([1, 1, 2, 2, 9 + i], 4) for i in range(2))
    [node] = tree.shared(first)
    node.slot = 7
    partly, again = (tree.add([1, 1, 3, 3, 9 + i], 4) for i in range(2))
    assert tree.shared(second) == [node]
    assert tree.shared(partly) == tree.shared(again)
    assert shared_tokens(tree, partly) == 4
    assert node not in tree.shared(partly)
    tree.remove(first)
    assert tree.shared(second) == [node], "it is there already"
    assert tree.remove(second) == [node]


def test_only_so_many_tokens_may_be_shared():
    tree = PrefixTree(SIZE)
    nodes = [tree.add([1, 1, 2, 2, 3, 3], most) for most in (5, 3, 1)]
    assert [shared_tokens(tree, node) for node in nodes] == [2, 2, 0]


def test_a_prompt_may_go_on_from_thousands_of_others():
    """As the turns of a conversation do, or a log that grows."""
    tree, log = PrefixTree(SIZE), [*range(6000)]
    nodes = [tree.add(log, length) for length in range(SIZE, len(log), SIZE)]
    assert len(nodes[-1].path) == len(nodes)
    assert len(tree.shared(nodes[-1])) == len(nodes) - 1
    assert len([*nodes_below(tree.root)]) == len(nodes)
