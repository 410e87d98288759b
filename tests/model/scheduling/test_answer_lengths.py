"""What a row will need, by the answers of the rows before it."""

from model.scheduling.answer_lengths import AnswerLengths


def seen(*answers):
    lengths = AnswerLengths()
    for answer in answers:
        lengths.add(answer)
        lengths.expected(0, 10**6)
    return lengths


def test_the_mean_of_the_answers_that_were_longer():
    lengths = seen(10, 20, 30)
    assert [lengths.expected(generated, 4096) for generated in (0, 9, 10, 20, 29)] == [20, 20, 25, 30, 30]


def test_no_more_than_the_limit():
    assert seen(10, 20, 30).expected(0, 15) == 15
    assert seen().expected(5, 6) == 6


def test_longer_than_all_before_is_twice_as_long_by_guess():
    assert seen(10).expected(300, 4096) == 600
    assert seen().expected(0, 4096) == 128


def test_many_answers_are_summed_up_now_and_then_and_old_ones_forgotten():
    lengths = AnswerLengths()
    for _ in range(5000):
        lengths.add(50)
        assert lengths.expected(0, 4096) in (50, 128)
    for _ in range(1100):
        lengths.add(400)
        lengths.expected(0, 4096)
    assert lengths.expected(0, 4096) == 400


def test_a_new_job_knows_nothing_of_the_old_one():
    lengths = seen(10, 20)
    lengths.forget()
    assert lengths.expected(0, 4096) == 128
