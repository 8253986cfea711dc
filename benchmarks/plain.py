"""Straightforward PyTorch: one network, autograd for everything, as the formulas read.

These are the baselines that packs are compared with. Per defense: nominal and PGD as anyone
would write them (PGD by foolbox where it is installed), the gradient penalties with
create_graph, aRUB with one backward pass per class, RUB with all 2D vertices and all four
products per layer in one differentiable program.

Legend: B batch, D input features, H hidden units, K classes.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

PlainLoss = Callable[[nn.Sequential, Tensor, Tensor, float], Tensor]


def make_network(features: int, classes: int, hidden: int = 3, width: int = 200) -> nn.Sequential:
    """Make one fully connected ReLU network with torch's own layers."""
    sizes = [features, *[width] * hidden]
    layers: list[nn.Module] = []
    for fan_in, fan_out in zip(sizes[:-1], sizes[1:], strict=True):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, classes))


def nominal(net: nn.Sequential, x: Tensor, y: Tensor, radius: float) -> Tensor:
    """Cross-entropy."""
    return functional.cross_entropy(net(x), y)


def baseline_linf(net: nn.Sequential, x: Tensor, y: Tensor, radius: float) -> Tensor:
    """Cross-entropy plus the L1 norm of its input gradient, by double backward (Eq. 7)."""
    x = x.detach().requires_grad_()
    losses = functional.cross_entropy(net(x), y, reduction="none")
    (gradient,) = torch.autograd.grad(losses.sum(), x, create_graph=True)
    return (losses + radius * gradient.abs().sum(1)).mean()


def _arub(net: nn.Sequential, x: Tensor, y: Tensor, radius: float, order: float) -> Tensor:
    x = x.detach().requires_grad_()
    logits = net(x)
    own = logits.gather(1, y.unsqueeze(1)).squeeze(1)
    bounds = []
    for k in range(logits.shape[1]):
        difference = logits[:, k] - own
        (gradient,) = torch.autograd.grad(difference.sum(), x, create_graph=True)
        bounds.append(difference + radius * torch.linalg.vector_norm(gradient, order, dim=1))
    return torch.logsumexp(torch.stack(bounds, 1), 1).mean()


def arub_l1(net: nn.Sequential, x: Tensor, y: Tensor, radius: float) -> Tensor:
    """Eq. 11 with p = 1, one backward pass for each class."""
    return _arub(net, x, y, radius, float("inf"))


def arub_linf(net: nn.Sequential, x: Tensor, y: Tensor, radius: float) -> Tensor:
    """Eq. 11 with p = inf, one backward pass for each class."""
    return _arub(net, x, y, radius, 1)


def rub(net: nn.Sequential, x: Tensor, y: Tensor, radius: float) -> Tensor:
    """Theorem 11 as written: every vertex and class with gradient, four products per layer."""
    layers = [m for m in net if isinstance(m, nn.Linear)]
    z = [layers[0](x)]
    for layer in layers[1:]:
        z.append(layer(torch.relu(z[-1])))
    t = [(v > 0).to(x.dtype).unsqueeze(1) for v in z]
    step = radius * layers[0].weight.t()
    up = torch.cat([z[0].unsqueeze(1) + step, z[0].unsqueeze(1) - step], 1)  # [B, 2D, H]
    down = -up
    for layer, mask in zip(layers[1:-1], t, strict=False):
        plus, minus = layer.weight.clamp_min(0).t(), (-layer.weight).clamp_min(0).t()
        s, m = torch.relu(up), mask * down
        up, down = s @ plus + m @ minus + layer.bias, s @ minus + m @ plus - layer.bias
    s, m = torch.relu(up), t[-2] * down
    last = layers[-1]
    bounds = []
    for k in range(last.weight.shape[0]):
        c = (last.weight[k] - last.weight[y]).unsqueeze(2)  # [B, H, 1]
        g = (s @ c.clamp_min(0) + m @ (-c).clamp_min(0)).squeeze(2)
        bounds.append(g.amax(1) + last.bias[k] - last.bias[y])
    return torch.logsumexp(torch.stack(bounds, 1), 1).mean()


def pgd_linf(net: nn.Sequential, x: Tensor, y: Tensor, radius: float) -> Tensor:
    """Cross-entropy at foolbox's LinfPGD points, or at those of a plain loop without foolbox."""
    find = _foolbox_pgd if importlib.util.find_spec("foolbox") else _loop_pgd
    return functional.cross_entropy(net(find(net, x, y, radius)), y)


def _foolbox_pgd(net: nn.Sequential, x: Tensor, y: Tensor, radius: float) -> Tensor:
    import foolbox

    model = foolbox.PyTorchModel(net.eval(), bounds=(-1e10, 1e10), device=x.device)
    found: Tensor = foolbox.attacks.LinfPGD()(model, x, y, epsilons=radius)[1]
    return found


def _loop_pgd(net: nn.Sequential, x: Tensor, y: Tensor, radius: float) -> Tensor:
    delta = (torch.rand_like(x) * 2 - 1) * radius
    for _ in range(40):
        delta.requires_grad_()
        loss = functional.cross_entropy(net(x + delta), y, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, delta)
        delta = (delta.detach() + radius * 0.01 / 0.3 * gradient.sign()).clamp(-radius, radius)
    return x + delta


PLAIN_LOSSES: dict[str, PlainLoss] = {
    "nominal": nominal,
    "baseline-linf": baseline_linf,
    "arub-l1": arub_l1,
    "arub-linf": arub_linf,
    "rub": rub,
    "pgd-linf": pgd_linf,
}
