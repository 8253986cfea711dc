"""Adam for packs: one learning rate per network, diverged networks frozen.

Legend: P networks in the pack.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

BETA1 = 0.9
BETA2 = 0.999
EPS = 1e-7  # Keras's default, with which the paper's authors train; torch's is 1e-8


class PackedAdam:
    """Adam (Kingma, Ba 2015, Algorithm 1) over parameters with a leading dimension P.

    m <- b1 m + (1 - b1) g, v <- b2 v + (1 - b2) g^2,
    p <- p - lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps).

    eps is Algorithm 1's, added after the bias correction of v, as in torch. Keras adds its own
    before, the eps-hat of the paper's section 2: p <- p - lr sqrt(1 - b2^t) / (1 - b1^t) m /
    (sqrt(v) + eps-hat), which is Algorithm 1 with eps = eps-hat / sqrt(1 - b2^t): some 32 eps-hat
    at the first step, eps-hat in the limit. Gradients far above that do not feel the difference.
    """

    def __init__(self, parameters: Sequence[Tensor], learning_rate: Tensor) -> None:
        """Start at step 0.

        Args:
            parameters: each [P, ...]; updated in place.
            learning_rate: one per network, [P], > 0.
        """
        self.parameters = list(parameters)
        self.learning_rate = learning_rate
        # The fused kernel reads memory as it lies.
        self.first = [p.new_zeros(p.shape) for p in self.parameters]
        self.second = [p.new_zeros(p.shape) for p in self.parameters]
        # On the device, where a recorded step counts by itself; exact up to 2^24 steps.
        self.count = torch.zeros((), dtype=torch.float32, device=learning_rate.device)
        self.on_cpu = all(p.device.type == "cpu" and p.is_contiguous() for p in self.parameters)

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], alive: Tensor) -> None:
        """Update the networks that are alive; the others keep their parameters.

        Args:
            gradients: one per parameter; those of dead networks may be anything.
            alive: [P], boolean.
        """
        self.count.add_(1)
        (self._step_each if self.on_cpu else self._step_pack)(gradients, alive)

    def _step_each(self, gradients: Sequence[Tensor], alive: Tensor) -> None:
        """One network after another by torch's fused kernel, which reads memory only once."""
        ordered = [g.contiguous() for g in gradients]
        columns = (self.parameters, ordered, self.first, self.second)
        for i, (rate, lives) in enumerate(
            zip(self.learning_rate.tolist(), alive.tolist(), strict=True)
        ):
            if lives:
                p, g, m, v = ([tensor[i] for tensor in column] for column in columns)
                self._fused(p, g, m, v, rate)

    def _step_pack(self, gradients: Sequence[Tensor], alive: Tensor) -> None:
        """All networks at once, without waiting for the device."""
        clean = [
            # A dead network's gradient may be NaN, which no factor would remove.
            torch.where(_per_network(alive, g), g, 0.0).contiguous()
            for g in gradients
        ]
        # The kernel knows one rate for all: it makes a step of rate 1 from 0, and each network
        # goes its own multiple of that.
        moves = [g.new_zeros(g.shape) for g in clean]
        self._fused(moves, clean, self.first, self.second, 1.0)
        scale = self.learning_rate * alive
        for p, move in zip(self.parameters, moves, strict=True):
            p.addcmul_(move, _per_network(scale, p))

    def _fused(
        self,
        parameters: list[Tensor],
        gradients: list[Tensor],
        first: list[Tensor],
        second: list[Tensor],
        rate: float,
    ) -> None:
        torch._fused_adam_(
            parameters,
            gradients,
            first,
            second,
            [],
            [self.count] * len(parameters),
            lr=rate,
            beta1=BETA1,
            beta2=BETA2,
            eps=EPS,
            weight_decay=0.0,
            amsgrad=False,
            maximize=False,
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the moments, which are not copied, and the number of steps."""
        return {"first": self.first, "second": self.second, "step_count": int(self.count)}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from the state of an optimizer of equal parameters."""
        for name, moments in (("first", self.first), ("second", self.second)):
            for mine, theirs in zip(moments, state[name], strict=True):
                mine.copy_(theirs)
        self.count.fill_(state["step_count"])


def _per_network(values: Tensor, like: Tensor) -> Tensor:
    """Give one value per network, [P], the dimensions of [P, ...]."""
    return values.view(-1, *[1] * (like.dim() - 1))
