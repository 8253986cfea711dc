"""Perturbation sets: norm balls, and L1 balls in which features have costs.

With costs c the L1 ball is {delta : sum_m c_m |delta_m| <= rho}. Its vertices are
+-(rho / c_m) e_m, and an infinite cost leaves a feature out. As delta_m = d_m / c_m with
||d||_1 <= rho, it is the plain ball for a first layer whose rows are divided by the costs.

Legend: P networks in the pack, B batch, U linear forms, D input features, H hidden units.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from robust.norms import Norm, dual_norm


@dataclass(frozen=True)
class Ball:
    """Balls around the examples of a batch.

    Attributes:
        radius: true radius >= 0, [P, B].
        norm: l1, l2 or linf.
        costs: > 0, [D], of L1 balls; infinite where a feature stays. None is 1 for all.
    """

    radius: Tensor
    norm: Norm = "l1"
    costs: Tensor | None = None

    def steps(self, weight: Tensor) -> Tensor:
        """Return what a step of cost 1 along each feature adds to z_1, [P, D, H] as W_1."""
        return weight if self.costs is None else weight / self.costs.unsqueeze(1)

    def half_widths(self) -> Tensor:
        """Return the most that the ball reaches along each feature, [P, B, D] or [P, B, 1]."""
        each = self.radius.unsqueeze(2)
        return each if self.costs is None else each / self.costs

    def reach_of_inputs(self, forms: Tensor) -> Tensor:
        """Return the most that forms of the inputs themselves can add; as `reach`."""
        return self.reach(forms if self.costs is None else forms / self.costs)

    def some(self, examples: slice) -> Ball:
        """The same for some of the examples."""
        return Ball(self.radius[:, examples], self.norm, self.costs)

    def reach(self, forms: Tensor) -> Tensor:
        """Return rho ||a||_q, the most that forms a of the steps can add.

        Args:
            forms: [P, B, U, D], or [P, 1, U, D] where all examples share them.

        Returns:
            [P, B, U].
        """
        return self.radius.unsqueeze(2) * dual_norm(forms, self.norm)
