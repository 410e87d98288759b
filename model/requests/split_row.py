"""A row whose readout takes several forward passes: each is a row of its own, with the same prompt."""

from dataclasses import dataclass, field, replace

import numpy as np

from model.requests.request import Completion, Request


@dataclass
class SplitRow:
    request: Request
    completions: dict[int, Completion] = field(default_factory=dict)  # by part

    @property
    def requests(self) -> list[Request]:
        whole = self.request.positions
        return [replace(self.request, readout=part, part_of=whole) for part in self.request.wanted.parts]

    def end_part(self, part: int, completion: Completion) -> Completion | None:
        """The row's own completion once all parts have ended. It fails if any of them did.

        The prompt is computed for each part, but what the router did with it is told once.
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
