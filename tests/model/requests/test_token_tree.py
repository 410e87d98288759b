import torch

from model.requests.readout import OnePassReadout
from model.requests.request import Request
from model.requests.token_tree import NO_TREE, TokenTree


def test_depth_is_the_positions_behind_the_prompt():
    chain = TokenTree([7, 8, 9], [-1, 0, 1])
    siblings = TokenTree([7, 8, 9], [-1, -1, -1])
    assert (chain.depth, siblings.depth, NO_TREE.depth) == (3, 1, 0)


class NextOfEach(OnePassReadout):
    def __init__(self, tree):
        self.tree = tree

    def make_answer(self, outputs):
        return outputs.clone()


def test_a_node_sees_the_row_its_ancestors_and_itself_alone(engine, oracle, prompts):
    """A tree that no list of choices makes: two nodes with the same token and the same parent."""
    paths = [[7], [7, 8], [9], [7, 8], [7, 8, 9]]  # the last one below the second
    tree = TokenTree([7, 8, 9, 8, 9], [-1, 0, -1, 0, 1])
    for variant in ("mixtral", "window"):
        requests = [Request(str(i), prompt, readout=NextOfEach(tree)) for i, prompt in enumerate(prompts)]
        for prompt, completion in zip(prompts, engine(variant, max_batch_rows=3).run(requests), strict=True):
            expected = [oracle(variant).logits(prompt + path)[-1] for path in [[], *paths]]
            torch.testing.assert_close(completion.answer, torch.stack(expected), atol=1e-4, rtol=0)
