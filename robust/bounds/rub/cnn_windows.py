"""Max-pooling after ReLU, on the part of its maps where RUB's streams change.

Legend: P networks in the pack, B batch, V vertices, M maps, R x S rows and columns after pooling;
the 4 members of a pooling window have a dimension of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robust.bounds.rub.cnn_patches import Patch
from robust.networks.cnn import CNN, Trace
from robust.networks.convolution import POOL


@dataclass(frozen=True)
class Windows:
    """One stage of the unperturbed pass, by pooling windows.

    Attributes:
        members: pre-activations, [P, B, 4, R, S, M].
        top: what the window passes on, [P, B, R, S, M].
        winner: its largest member, 0..3, [P, B, R, S, M].
        active: 1 where that member is above 0, else 0, [P, B, R, S, M].
    """

    members: Tensor
    top: Tensor
    winner: Tensor
    active: Tensor

    def change(
        self, examples: slice, patch: Patch, centre: Tensor, excess: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return ds + dm and ds - dm after ReLU and pooling, each [P, B, V, R*S*M].

        Args:
            examples: those of the chunk.
            patch: where the streams change.
            centre: (du - dv)/2 of the members, [P, B, V, 4*R*S*M]; overwritten.
            excess: (du + dv)/2, the same shape, or None where it is 0; overwritten.
        """
        area = (slice(None), examples, patch.rows.at, patch.columns.at)
        members = self.members[(*area[:2], slice(None), *area[2:])].flatten(3).unsqueeze(2)
        top, winner, active = (
            part[area].flatten(2).unsqueeze(2) for part in (self.top, self.winner, self.active)
        )
        shape = (*centre.shape[:3], POOL**2, -1)
        centre = centre.view(shape)
        index = winner.unsqueeze(3).expand(-1, -1, shape[2], -1, -1)
        down = centre.gather(3, index).squeeze(3).neg_()
        if excess is not None:
            excess = excess.view(shape)
            down += excess.gather(3, index).squeeze(3)
            centre += excess
        dm = down.mul_(active)
        ds = torch.relu_(centre.add_(members).amax(dim=3)).sub_(top)
        return ds + dm, ds - dm


def stage_windows(net: CNN, trace: Trace, stage: int) -> Windows:
    """Arrange one stage of an unperturbed pass by pooling windows."""
    z, pooling = trace.maps[stage], trace.poolings[stage]
    networks, (batch, _, height, width) = net.num_networks, z.shape
    rows, columns = height // POOL, width // POOL
    split = z.view(batch, networks, -1, rows, POOL, columns, POOL)
    members = split.permute(1, 0, 4, 6, 3, 5, 2).reshape(networks, batch, 4, rows, columns, -1)
    row, column = pooling.winner // width, pooling.winner % width
    flags = (POOL * (row % POOL) + column % POOL, pooling.active)
    winner, active = (
        part.view(batch, networks, -1, rows, columns).permute(1, 0, 3, 4, 2).contiguous()
        for part in flags
    )
    top = torch.relu(members.amax(dim=2))
    return Windows(members, top, winner, active)
