from model.requests.choice_tree import ChoiceTree
from model.scheduling.batch import Batch, Phase, Row

TREE = ChoiceTree.from_choices([[7, 8, 9], [7, 5]])  # nodes 7 and 7 8


def test_a_batch_is_left_padded_with_its_trees_behind_the_prompts():
    rows = [
        Row(Phase.PREFILL, 0, 0, [1, 2], tree=TREE),
        Row(Phase.DECODE, 1, 0, [3]),
        Row(Phase.PREFILL, 2, 4, [6, 6, 6]),
    ]
    batch = Batch.of(rows)
    assert [row.length for row in rows] == [4, 1, 3]
    assert batch.token_ids.tolist() == [[1, 2, 7, 8], [0, 0, 0, 3], [0, 6, 6, 6]]
    assert batch.mask.long().tolist() == [[1, 1, 1, 1], [0, 0, 0, 1], [0, 1, 1, 1]]
    assert batch.positions[batch.mask].tolist() == [0, 1, 2, 3, 0, 4, 5, 6]
    # The prompt's last token, then the nodes; the last token; the last token.
    assert batch.predicting().tolist() == [1, 2, 3, 4, 7]


def test_siblings_share_a_position():
    tree = ChoiceTree.from_choices([[7, 1, 1], [8, 1], [9, 1]])
    batch = Batch.of([Row(Phase.PREFILL, 0, 3, [5], tree=tree)])
    positions = dict(zip(batch.token_ids[0].tolist(), batch.positions[0].tolist(), strict=True))
    assert positions == {5: 3, 7: 4, 8: 4, 9: 4, 1: 5}
