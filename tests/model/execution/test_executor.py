import pytest
import torch

from model.execution.executor import BatchTooLargeError
from model.requests.readout import Head
from model.scheduling.batch import Batch, Phase, Row
from tests.model.execution.executor_of import executor_of


@pytest.fixture
def executor(checkpoint):
    return executor_of(checkpoint("mixtral"), statistics=True)


def test_each_head_gives_the_outputs_of_the_rows_that_want_it(executor, oracle, prompts):
    first, second, third = prompts[:3]
    rows = [
        Row(Phase.PREFILL, 0, 0, first),
        Row(Phase.PREFILL, 1, 0, second, read_from=0, head=Head.HIDDEN),
        Row(Phase.PREFILL, 2, 0, third, read_from=0),
    ]
    outputs = executor.forward(Batch.of(rows))
    expected = torch.cat((oracle("mixtral").logits(first)[-1:], oracle("mixtral").logits(third)))
    torch.testing.assert_close(outputs[Head.VOCABULARY], expected, atol=1e-4, rtol=0)
    assert outputs[Head.HIDDEN].shape == (len(second), 32)
    of_hidden = executor.model.head(outputs[Head.HIDDEN])
    torch.testing.assert_close(of_hidden, oracle("mixtral").logits(second), atol=1e-4, rtol=0)


def test_a_head_that_no_row_wants_is_not_computed(executor, monkeypatch):
    monkeypatch.setitem(executor.heads, Head.VOCABULARY, lambda _: pytest.fail("no row wants logits"))
    outputs = executor.forward(Batch.of([Row(Phase.PREFILL, 0, 0, [5, 6], head=Head.HIDDEN)]))
    assert {head: x.shape for head, x in outputs.items()} == {Head.HIDDEN: (1, 32)}


def test_a_step_that_memory_does_not_suffice_for_counts_nothing(executor, monkeypatch):
    def out_of_memory(x):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    batch = Batch.of([Row(Phase.PREFILL, 0, 0, [5, 6])])
    with monkeypatch.context() as patch:
        patch.setitem(executor.heads, Head.VOCABULARY, out_of_memory)
        with pytest.raises(BatchTooLargeError):
            executor.forward(batch)
    assert executor.routing.take([0])[0].tokens.tolist() == [0, 0]
    executor.forward(batch)
    assert executor.routing.take([0])[0].tokens.tolist() == [2, 0]
