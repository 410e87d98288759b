"""A row whose readout takes several forward passes: each is a row that begins with its prompt."""

from dataclasses import dataclass, field, replace

import numpy as np

from model.requests.readout import Readout
from model.requests.request import Completion, Request


@dataclass
class SplitRow:
    request: Request
    completions: dict[int, Completion] = field(default_factory=dict)  # by part

    @property
    def requests(self) -> list[Request]:
        return [*map(self._request, self.request.wanted.parts)]

    def _request(self, part: Readout) -> Request:
        prompt, positions = self.request.prompt_token_ids, self.request.positions
        if part.reach is not None:
            positions = len(prompt) + part.reach
        own = [*prompt, *part.lead] if part.lead else prompt
        return replace(self.request, prompt_token_ids=own, readout=part, part_of=positions)

    def end_part(self, part: int, completion: Completion) -> Completion | None:
        """The row's own completion once all parts have ended. It fails if any of them did.

        The prompt is computed for each part, but what the router did with it is told once, by the first part.
        """
        self.completions[part] = completion
        if len(self.completions) < len(self.request.wanted.parts):
            return None
        parts = [self.completions[i] for i in range(len(self.completions))]
        failure = next((one.failure for one in parts if one.failure), None)
        answer = None if failure else self.request.wanted.join([one.answer for one in parts])
        routing = parts[0].routing
        if routing is not None:
            counted = [one.routing.computed for one in parts if one.routing is not None]
            routing = replace(routing, computed=np.sum(counted, axis=0))
        return Completion(self.request.key, answer, routing, failure, parts[0].shared_routing)
