"""The Step of generative adversarial networks: both players' gradients from one backward pass.

Goodfellow et al. 2014 (arXiv 1406.2661); Wasserstein with a gradient penalty: Gulrajani et al. 2017 (arXiv 1704.00028).
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from glia.errors import GliaError
from glia.nn import adversarial as losses
from glia.training.metrics import Metric
from glia.training.steps import Outcome, Step, unpack


def adversarial(loss: str = "non_saturating", **options: Any) -> Step:
    """A Step that trains a GAN: a model with `generator`, `discriminator`, `latent` and `real` (glia.models.gan.GAN).

    loss: "non_saturating", "minimax", "hinge" or "wasserstein", as in `glia.nn.adversarial`; options: of the last,
    whose discriminator should have no batch norm, `penalty`.

    Both players move at once, on the same noise, each by its own loss alone; the papers let the discriminator move
    first, once or several times. To give it more, let it have a larger rate (`discriminator_lr` of the models).
    Figures: train_loss and valid_loss are the discriminator's loss, train_generator_loss and valid_generator_loss the
    generator's; in evaluation, where there are no gradients, without the penalty. Neither says which weights are best,
    since each is measured against the other player: `fit(..., valid_every=epochs)` keeps the last ones.
    A batch is as everywhere, its targets are not looked at, or the rows alone.
    """
    rule = losses.build(f"gan_{loss.removeprefix('gan_')}", **options)

    def step(model: nn.Module, batch: Any) -> Outcome:
        maker, judge = _players(model)
        x = batch if isinstance(batch, Tensor) else unpack(batch).args[0]
        real: Tensor = model.real(x) if hasattr(model, "real") else x  # type: ignore[operator]
        made = maker(torch.randn(len(x), model.latent, device=x.device))  # type: ignore[call-overload]
        seen, fooled, tempting = judge(real), judge(made.detach()), _frozen(judge)(made)
        judges, makers = rule.discriminator(seen, fooled), rule.generator(tempting)
        if isinstance(rule, losses.Wasserstein) and rule.penalty and torch.is_grad_enabled():
            judges = judges + rule.penalty * losses.gradient_penalty(judge, real, made)
        # The value is the discriminator's loss, the gradient that of both: neither reaches the other's weights.
        both = judges + (makers - makers.detach())
        return Outcome(both, len(x), makers.detach() * len(x))

    step.metric = Metric("generator_loss", _unused, higher_is_better=False)  # type: ignore[attr-defined]
    return step


def _players(model: nn.Module) -> tuple[nn.Module, nn.Module]:
    maker, judge = getattr(model, "generator", None), getattr(model, "discriminator", None)
    if not (isinstance(maker, nn.Module) and isinstance(judge, nn.Module) and hasattr(model, "latent")):
        raise GliaError(
            "adversarial training", got=type(model).__name__, expected="a GAN: generator, discriminator and latent"
        )
    return maker, judge


class _frozen:
    """A network whose weights take no gradient, while its input does; its running figures stay as they are.

    Those would otherwise count the made rows twice: the discriminator's own loss has shown them already.
    """

    def __init__(self, net: nn.Module):
        weights = {name: value.detach() for name, value in net.named_parameters()}
        figures = {name: value.clone() for name, value in net.named_buffers()}
        self.net, self.state = net, weights | figures

    def __call__(self, x: Tensor) -> Tensor:
        out: Tensor = functional_call(self.net, self.state, (x,))
        return out


def _unused(outputs: Tensor, targets: Tensor) -> Tensor:
    raise GliaError("the generator's loss is measured by its Step", expected="no outputs and targets")
