from model.requests.choice_scores import ChoiceScores
from model.requests.readout import Head
from model.scheduling.batch import Batch, Phase, Row

TREE = ChoiceScores.of([[7, 8, 9], [7, 5]]).tree  # nodes 7 and 7 8


def test_a_batch_holds_the_tokens_of_its_rows_side_by_side_with_trees_behind_the_prompts():
    rows = [
        Row(Phase.PREFILL, 0, 0, [1, 2], tree=TREE),
        Row(Phase.DECODE, 1, 0, [3]),
        Row(Phase.PREFILL, 2, 4, [6, 6, 6]),
    ]
    batch = Batch.of(rows)
    assert [row.length for row in rows] == [4, 1, 3]
    assert batch.token_ids.tolist() == [1, 2, 7, 8, 3, 6, 6, 6]
    assert batch.positions.tolist() == [0, 1, 2, 3, 0, 4, 5, 6]
    # The prompt's last token, then the nodes; the last token; the last token.
    assert batch.reads(Head.VOCABULARY).tolist() == [1, 2, 3, 4, 7]


def test_siblings_share_a_position():
    tree = ChoiceScores.of([[7, 1, 1], [8, 1], [9, 1]]).tree
    batch = Batch.of([Row(Phase.PREFILL, 0, 3, [5], tree=tree)])
    positions = dict(zip(batch.token_ids.tolist(), batch.positions.tolist(), strict=True))
    assert positions == {5: 3, 7: 4, 8: 4, 9: 4, 1: 5}


def test_each_row_is_read_from_where_it_says_under_its_own_head():
    rows = [
        Row(Phase.DECODE, 0, 5, [3]),  # token 0 of the batch
        Row(Phase.PREFILL, 1, 0, [1, 2, 3], read_from=0, head=Head.HIDDEN),  # 1 to 3
        Row(Phase.PREFILL, 2, 0, [4, 5, 6], tree=TREE, read_from=1),  # 4 to 8, its tree's nodes 7 and 8
        Row(Phase.PREFILL, 3, 0, [7, 8], head=Head.HIDDEN),  # 9 and 10
    ]
    batch = Batch.of(rows)
    assert batch.heads == [Head.VOCABULARY, Head.HIDDEN]
    assert batch.reads(Head.VOCABULARY).tolist() == [0, 5, 6, 7, 8]
    assert batch.reads(Head.HIDDEN).tolist() == [1, 2, 3, 10]
    assert [row.num_read for row in rows] == [1, 3, 4, 1]
    assert Batch.of(rows[:1]).heads == [Head.VOCABULARY]


def test_what_rows_ask_is_counted_from_the_first_of_their_tokens_that_is_read():
    scores = ChoiceScores.of([[7, 8, 9], [7, 5]])
    rows = [
        Row(Phase.PREFILL, 0, 0, [1, 2], tree=TREE, head=Head.LOGPROBS, asked=scores.asked),
        Row(Phase.PREFILL, 1, 0, [1, 2]),
        Row(Phase.PREFILL, 2, 0, [3], tree=TREE, head=Head.LOGPROBS, asked=scores.asked),
    ]
    batch = Batch.of(rows)
    assert batch.reads(Head.LOGPROBS).tolist() == [1, 2, 3, 6, 7, 8]
    assert batch.asked.tolist() == [[0, 1, 1, 2, 3, 4, 4, 5], [7, 5, 8, 9, 7, 5, 8, 9]]
    assert [row.num_outputs for row in rows] == [4, 1, 4]
