"""Generation: a row's logits become its next token, which is fed back until the row has come to its end."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from model.config import ModelConfig
from model.requests.readout import Reading, Readout
from model.sampling.sampling_params import SamplingParams, stream_of

if TYPE_CHECKING:  # processes that only make requests and read answers must start without torch
    from torch import Tensor


@dataclass
class Generated:
    """What a row has generated, up to now or to its end."""

    token_ids: list[int]
    logprobs: list[float] | None  # of token_ids, where the parameters ask for them
    finish_reason: str | None = None  # stop | length; None: the row has not come to its end


class NextToken(Readout):
    def __init__(self, params: SamplingParams, should_stop: Callable[[int], bool] | None = None) -> None:
        self.params = params
        # Shown every generated token but the end of the sequence; True ends the row, that token included.
        self.should_stop = should_stop

    @property
    def kept_tokens(self) -> int:
        """All but the last one, which is never fed back."""
        return self.params.max_new_tokens - 1

    @property
    def may_end_early(self) -> bool:
        params = self.params
        return not params.ignore_eos or bool(params.stop_token_ids) or self.should_stop is not None

    def start(self, stream: str, config: ModelConfig) -> "NextTokenReading":
        return NextTokenReading(self, stream_of(self.params.seed, stream), config.eos_token_ids)


class NextTokenReading(Reading):
    answer: Generated

    def __init__(self, readout: NextToken, stream: int, eos_token_ids: tuple[int, ...]) -> None:
        self.readout = readout
        self.stream = stream  # of random numbers
        self.eos_token_ids = eos_token_ids
        self.answer = Generated([], [] if readout.params.logprobs else None)

    @classmethod
    def reduce(cls, readings: Sequence[Self], outputs: "Tensor", parts: Sequence[slice]) -> "Tensor":
        """Logits [M, V], one for each reading -> its next token and the logprob of that, [readings, 2]."""
        from model.sampling.sample import sample  # imports torch, without which requests can be made

        if len(readings) < len(outputs):
            outputs = outputs[[part.start for part in parts]]
        return sample(
            outputs,
            [reading.readout.params for reading in readings],
            [reading.stream for reading in readings],
            [len(reading.answer.token_ids) for reading in readings],
        )

    @classmethod
    def take(cls, readings: Sequence[Self], outputs: "Tensor", parts: Sequence[slice]) -> list[bool]:
        """What `reduce` gave -> every row has a token more."""
        numbers = outputs.tolist()
        drawn = [numbers[part.start] for part in parts]
        return [
            reading._append(int(token), logprob)
            for reading, (token, logprob) in zip(readings, drawn, strict=True)
        ]

    def _append(self, token: int, logprob: float) -> bool:
        generated = self.answer
        self.next_token = token
        generated.token_ids.append(token)
        if generated.logprobs is not None:
            generated.logprobs.append(logprob)
        generated.finish_reason = self._finish_reason(token)
        return generated.finish_reason is not None

    def _finish_reason(self, token: int) -> str | None:
        params, should_stop = self.readout.params, self.readout.should_stop
        if (token in self.eos_token_ids and not params.ignore_eos) or token in params.stop_token_ids:
            return "stop"
        if should_stop is not None and should_stop(token):
            return "stop"
        return "length" if len(self.answer.token_ids) == params.max_new_tokens else None
