"""A step of training or of an attack, recorded on a device once and then replayed as it is.

A step of a pack is hundreds of short kernels; launched one by one from Python they leave a GPU
idle between them. A CUDA graph launches them all at once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Protocol

import torch

Step = Callable[[], None]

# Steps before the recording: libraries choose their kernels and allocate their work space.
WARM_UP = 3


class Recorder(Protocol):
    """Runs a step while it is new, and records it."""

    def warm_up(self, step: Step) -> None:
        """Make the step, where and as it will be recorded."""

    def record(self, step: Step) -> Step:
        """Return what repeats the step on the same memory; the step itself is not made."""


class CudaGraph:
    """Records a step as a CUDA graph."""

    def __init__(self, generator: torch.Generator) -> None:
        """Take a stream beside the current one, which capturing needs.

        Args:
            generator: the only source of randomness of the step, on its device.
        """
        self.generator = generator
        self.stream = _side_stream(generator.device)

    def warm_up(self, step: Step) -> None:
        """Make the step on the stream that will record."""
        current = torch.cuda.current_stream(self.stream.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            step()
        current.wait_stream(self.stream)

    def record(self, step: Step) -> Step:
        """Capture the step; replays draw on from where the generator is."""
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self.generator)
        with torch.cuda.graph(graph, stream=self.stream):
            step()
        replay: Step = graph.replay
        return replay


@functools.cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    """The same for all recordings: memory that one stream has freed is kept for it alone."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


# By device type. Elsewhere every step is made anew.
RECORDERS: dict[str, Callable[[torch.Generator], Recorder]] = {"cuda": CudaGraph}


def recorded(step: Step, generator: torch.Generator) -> Step:
    """Return a step that does the same and is recorded where the device can.

    Args:
        step: reads and writes the same memory each time; nothing of it is decided by the host.
        generator: its only source of randomness, on the device that it runs on.
    """
    make = RECORDERS.get(generator.device.type)
    return step if make is None else _Recorded(step, make(generator))


class _Recorded:
    def __init__(self, step: Step, recorder: Recorder) -> None:
        self.step, self.recorder = step, recorder
        self.made = 0
        self.replay: Step | None = None

    def __call__(self) -> None:
        if self.replay is None and self.made < WARM_UP:
            self.recorder.warm_up(self.step)
            self.made += 1
            return
        if self.replay is None:
            self.replay = self.recorder.record(self.step)
        self.replay()
