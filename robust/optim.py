"""Adam for packs: one learning rate per network, diverged networks frozen.

Legend: P networks in the pack.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

BETA1 = 0.9
BETA2 = 0.999
EPS = 1e-7  # the paper's authors train with TensorFlow's default, not torch's 1e-8


class PackedAdam:
    """Adam (Kingma, Ba 2015, Algorithm 1) over parameters with a leading dimension P.

    m <- b1 m + (1 - b1) g, v <- b2 v + (1 - b2) g^2,
    p <- p - lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps).
    """

    def __init__(self, parameters: Sequence[Tensor], learning_rate: Tensor) -> None:
        """Start at step 0.

        Args:
            parameters: each [P, ...]; updated in place.
            learning_rate: one per network, [P], > 0.
        """
        self.parameters = list(parameters)
        self.learning_rate = learning_rate
        self.first = [torch.zeros_like(p) for p in self.parameters]
        self.second = [torch.zeros_like(p) for p in self.parameters]
        self.step_count = 0
        # The fused kernel reads memory as it lies.
        self.on_cpu = all(p.device.type == "cpu" and p.is_contiguous() for p in self.parameters)

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], alive: Tensor) -> None:
        """Update the networks that are alive; the others keep their parameters.

        Args:
            gradients: one per parameter; those of dead networks may be anything.
            alive: [P], boolean.
        """
        self.step_count += 1
        (self._step_each if self.on_cpu else self._step_pack)(gradients, alive)

    def _step_each(self, gradients: Sequence[Tensor], alive: Tensor) -> None:
        """One network after another by torch's fused kernel, which reads memory only once."""
        count = [torch.tensor(float(self.step_count))] * len(gradients)
        ordered = [g.contiguous() for g in gradients]
        columns = (self.parameters, ordered, self.first, self.second)
        for i, (rate, lives) in enumerate(
            zip(self.learning_rate.tolist(), alive.tolist(), strict=True)
        ):
            if lives:
                p, g, m, v = ([tensor[i] for tensor in column] for column in columns)
                torch._fused_adam_(
                    p,
                    g,
                    m,
                    v,
                    [],
                    count,
                    lr=rate,
                    beta1=BETA1,
                    beta2=BETA2,
                    eps=EPS,
                    weight_decay=0.0,
                    amsgrad=False,
                    maximize=False,
                )

    def _step_pack(self, gradients: Sequence[Tensor], alive: Tensor) -> None:
        """All networks at once, without waiting for the device."""
        scale = self.learning_rate * alive / (1 - BETA1**self.step_count)
        root = math.sqrt(1 - BETA2**self.step_count)
        for p, g, m, v in zip(self.parameters, gradients, self.first, self.second, strict=True):
            per_network = (-1, *[1] * (p.dim() - 1))
            # A dead network's gradient may be NaN, which no factor would remove.
            g = torch.where(alive.view(per_network), g, 0.0)
            m.lerp_(g, 1 - BETA1)
            v.mul_(BETA2).addcmul_(g, g, value=1 - BETA2)
            p.sub_(m / v.sqrt().div_(root).add_(EPS) * scale.view(per_network))

    def state_dict(self) -> dict[str, Any]:
        """Return the moments, which are not copied, and the number of steps."""
        return {"first": self.first, "second": self.second, "step_count": self.step_count}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from the state of an optimizer of equal parameters."""
        for name, moments in (("first", self.first), ("second", self.second)):
            for mine, theirs in zip(moments, state[name], strict=True):
                mine.copy_(theirs)
        self.step_count = int(state["step_count"])
