"""Rough transport costs of subsets that differ in one image from one that is solved.

The column scalings of the solved subset, before its last few iterations, are a good start for its neighbours:
`Screen.extend` makes only those few for each of them. The first finds the same row scalings for all, so that
one iteration costs a candidate no more than its own row. The result says which candidates may be good, not
how good they are. How far off it is depends on the images: compare it with `Transport.extend` on some.
"""

from torch import Tensor

from condense.transport.extension import Extension
from condense.transport.partial import Transport


class Screen:
    """Rough costs of one class's shared images [1, m - 1] with each of some candidates.

    The solved subset is the shared images with a `reference` [1, 1]. Needs a fixed number of iterations.
    """

    def __init__(self, transport: Transport, shared: Tensor, reference: Tensor):
        self.transport, self.shared = transport, shared
        solved = self._problems(reference)
        u, w = solved.start
        self.columns = []  # [1, 1, n] after each iteration
        for _ in range(transport.iterations):
            self.columns.append(solved.update_columns(u, w).clone())
            u, w = solved.update_rows(*solved.reach(self.columns[-1]))

    def extend(self, candidates: Tensor, iterations: int) -> Tensor:
        """Rough costs [1, k] with candidates [1, k], after the last so many iterations."""
        problems = self._problems(candidates)
        v = self.columns[-1 - iterations]
        for _ in range(iterations):
            u, w = problems.update_rows(*problems.reach(v))
            v = problems.update_columns(u, w)
        return problems.cost(u, w, v)

    def _problems(self, candidates: Tensor) -> Extension:
        kernel = self.transport.kernel(self.transport.precision)
        return Extension(kernel, self.shared, candidates, self.transport.capacity)
