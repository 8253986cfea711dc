"""What a CUDA graph does, on a CPU: operations are recorded and repeated on the same memory.

Every operation that reaches a kernel is kept with the very tensors and numbers that it was given.
A replay runs them again in order, without Python's part of the step, and writes each result where
the first one was: what the host decided while recording is decided for good.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from robust.numerics.recording import Step

FACTORIES = {
    *(torch.tensor, torch.as_tensor, torch.from_numpy, torch.scalar_tensor),
    *(torch.arange, torch.linspace, torch.eye, torch.full, torch.zeros, torch.ones),
    *(torch.empty, torch.rand, torch.randn, torch.randint, torch.randperm),
}


class FromTheHost(Exception):
    """The step makes a tensor on the host; a GPU would have to wait for its copy."""


class OnTheDevice(TorchFunctionMode):
    """Refuses to make a tensor without saying on which device."""

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if function in FACTORIES and (kwargs or {}).get("device") is None:
            raise FromTheHost(getattr(function, "__name__", str(function)))
        return function(*args, **(kwargs or {}))


class Tape(TorchDispatchMode):
    """The operations of one step, and what they wrote over."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[Any, Any, Any, list[Tensor | None]]] = []
        self.before: list[tuple[Tensor, Tensor]] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        self.before += [(t, t.detach().clone()) for t in _written(function, args, kwargs)]
        results = function(*args, **kwargs)
        given = {t.untyped_storage().data_ptr() for t in _tensors((args, kwargs))}
        # A view and what was written in place lie in memory that a replay has filled already.
        fresh = [None if t.untyped_storage().data_ptr() in given else t for t in _tensors(results)]
        self.operations.append((function, args, kwargs, fresh))
        return results

    @torch.no_grad()
    def undo(self) -> None:
        """Leave the memory as it was before the step."""
        for tensor, value in reversed(self.before):
            tensor.copy_(value)

    @torch.no_grad()
    def replay(self) -> None:
        """Do it all again."""
        for function, args, kwargs, fresh in self.operations:
            again = _tensors(function(*args, **kwargs))
            for old, new in zip(fresh, again, strict=True):
                if old is not None:
                    old.copy_(new)


def _tensors(values: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]


def _written(function: Any, args: Any, kwargs: Any) -> Iterator[Tensor]:
    """The arguments that an operation writes to, by its schema."""
    for i, argument in enumerate(function._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            yield from _tensors(args[i] if i < len(args) else kwargs.get(argument.name))


class TapeRecorder:
    """Records a step on a tape; recording leaves no trace, as capturing leaves none."""

    recordings = 0

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator

    def warm_up(self, step: Step) -> None:
        """Make the step."""
        with OnTheDevice():
            step()

    def record(self, step: Step) -> Step:
        """Make the step on a tape and undo what it did."""
        state = self.generator.get_state()
        tape = Tape()
        with OnTheDevice(), tape:
            step()
        tape.undo()
        self.generator.set_state(state)
        TapeRecorder.recordings += 1
        return tape.replay
