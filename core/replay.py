"""A training step captured once as a CUDA graph and replayed: one launch instead of hundreds.

Small images keep a GPU busy for less time than Python needs to launch their kernels one by one, and every
mask generator adds some. The kernels and their order are those of the plain step, and so are the results.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

# Takes a batch, returns what became of it. It may not wait for the device, nor copy from the host's memory.
Work = Callable[[Tensor, Tensor], Mapping[str, Tensor]]
# Libraries choose kernels and take workspaces, the optimizer makes its state; none of it can be captured.
_WARM_UP = 3


class Replay:
    """`work` on batches of one size, captured after a few of them; other sizes run as they are.

    Whatever `work` reads besides its batch must lie where it lay when it was captured: parameters changed in
    place do. A step that cannot be captured runs as it is, for ever.

    Attributes:
        refusal: why it could not be captured, if so.
    """

    def __init__(self, work: Work, size: int, release: Callable[[], None]) -> None:
        """Make one for batches of `size` images.

        `release` lets go of what earlier steps left behind; their autograd graphs must not enter the capture.
        """
        self._work, self._size, self._release, self._steps = work, size, release, 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: tuple[Tensor, Tensor] | None = None
        self._found: Mapping[str, Tensor] = {}
        self.refusal: str | None = None

    @property
    def captured(self) -> bool:
        """Whether steps are replayed."""
        return self._graph is not None

    def __call__(self, images: Tensor, labels: Tensor) -> Mapping[str, Tensor]:
        """One step. What is returned holds until the next call."""
        if self._steps < _WARM_UP or self.refusal is not None or len(images) != self._size:
            self._steps += 1
            return self._work(images, labels)
        if self._inputs is None:
            self._inputs = images.clone(), labels.clone()
            self._capture(*self._inputs)
        if self._graph is None:
            return self._work(images, labels)
        for held, given in zip(self._inputs, (images, labels), strict=True):
            held.copy_(given)
        self._graph.replay()
        return self._found

    def _capture(self, images: Tensor, labels: Tensor) -> None:
        self._release()
        graph = torch.cuda.CUDAGraph()
        try:
            # Other threads of the process may do as they like.
            with torch.cuda.graph(
                graph, stream=torch.cuda.current_stream(), capture_error_mode="thread_local"
            ):
                self._found = self._work(images, labels)
        except RuntimeError as error:  # such as a layer that waits for the device
            self.refusal = str(error).splitlines()[0]
        else:
            self._graph = graph


@contextmanager
def own_stream(device: torch.device) -> Iterator[None]:
    """Inside the block work goes to a stream of its own, as capturing needs; nothing on a processor."""
    if device.type != "cuda":
        yield
        return
    outside = torch.cuda.current_stream(device)
    own = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    own.wait_stream(outside)
    try:
        with torch.cuda.stream(own):
            yield
    finally:
        outside.wait_stream(own)
