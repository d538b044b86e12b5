"""Two networks against each other, each with its own optimiser: a loop that no supervised sample has."""

from random import Random

SCRIPT = """\
import torch
from torch import nn

torch.manual_seed({seed})


def real_points(count):
    side = (torch.rand(count, 1) < 0.5).float() * 2 - 1
    return ({scale} * (torch.randn(count, 2) * torch.tensor([0.3, 0.6]) + side * torch.tensor([1.2, 0.6]))){norm}


generator = nn.Sequential(
    nn.Linear(8, {units}),
    {act},
    nn.Linear({units}, {units}),
    {act},
    nn.Linear({units}, 2),{tail}
)
discriminator = nn.Sequential(
    nn.Linear(2, {units}),
    nn.LeakyReLU(0.2),
    nn.Linear({units}, {units}),
    nn.LeakyReLU(0.2),
    nn.Linear({units}, 1),
)
{start}criterion = nn.BCEWithLogitsLoss()
g_optimizer = torch.optim.Adam({generated}.parameters(), lr={g_rate:g}, betas=(0.5, 0.99))
d_optimizer = torch.optim.Adam(discriminator.parameters(), lr={d_rate:g}, betas=(0.5, 0.99))
ones, zeros = torch.ones({batch}, 1), torch.zeros({batch}, 1)

for step in range({steps}):
    real = real_points({batch})
    fake = generator(torch.randn({batch}, 8))

    {d_zero}
    d_loss = criterion(discriminator(real), ones) + criterion(discriminator(fake.detach()), zeros)
    d_loss.backward()
    d_optimizer.step()

    {g_zero}
    g_loss = {g_loss}
    g_loss.backward()
    {g_step}
    if step % 100 == 0:
        print(f"step {{step}}: generator {{g_loss.item():.4f}}, discriminator {{d_loss.item():.4f}}")

with torch.no_grad():
    real = real_points(2000)
    fake = generator(torch.randn(2000, 8))
angles = torch.arange(8) * torch.pi / 8
ways = torch.stack([angles.cos(), angles.sin()])
a, b = (real @ ways).sort(0).values, (fake @ ways).sort(0).values
score = 1 - (a - b).abs().mean().item() / (a - a.mean(0)).abs().mean().item()
print(f"final fit {{score:.4f}}")
"""
FAULTS: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "generator_not_trained": (("params_not_in_optimizer",), {"generated": "discriminator"}),
    "generator_cut_off": (
        ("detached_graph", "params_not_in_optimizer"),
        {"g_loss": "criterion(discriminator(fake.detach()), ones)"},
    ),
    "generator_without_step": (("missing_step",), {"g_step": ""}),
    "generator_cleared_late": (
        ("missing_zero_grad_order",),
        {"g_step": "g_optimizer.zero_grad()\n    g_optimizer.step()"},
    ),
    "gradients_never_cleared": (("missing_zero_grad",), {"d_zero": "", "g_zero": ""}),
    "generator_helps_the_other": (
        ("flipped_loss_sign", "labels_wrong_encoding", "wrong_loss"),
        {"g_loss": "criterion(discriminator(fake), zeros)"},
    ),
    "points_out_of_reach": (("wrong_output_activation",), {"tail": "\n    nn.Sigmoid(),"}),
    "both_rates_up": (("lr_too_high",), {"g_rate": "0.3", "d_rate": "0.3"}),
    "both_rates_down": (("lr_too_low", "too_few_epochs"), {"g_rate": "3e-06", "d_rate": "3e-06"}),
    "generator_starts_alike": (
        ("wrong_init",),
        {"start": "for param in generator.parameters():\n    nn.init.zeros_(param)\n"},
    ),
    "points_far_away": (("data_not_normalised", "target_not_normalised"), {"norm": ""}),
}  # fmt: skip


def draw_gan(rng: Random, fault: str | None) -> tuple[str, str]:
    """A script, with the fault or without, and its healthy twin."""
    rate = rng.choice([0.001, 0.002])
    scale = 100 if fault == "points_far_away" else 1
    pieces: dict[str, object] = {
        "seed": rng.randrange(100), "scale": scale, "norm": " / 100" if scale > 1 else "", "tail": "", "start": "",
        "units": rng.choice([32, 48, 64]), "act": rng.choice(["nn.ReLU()", "nn.LeakyReLU(0.2)", "nn.Tanh()"]),
        "generated": "generator", "g_rate": rate, "d_rate": rate, "batch": rng.choice([64, 128]),
        "steps": rng.choice([700, 900, 1100]), "d_zero": "d_optimizer.zero_grad()", "g_zero": "g_optimizer.zero_grad()",
        "g_loss": "criterion(discriminator(fake), ones)", "g_step": "g_optimizer.step()",
    }  # fmt: skip
    changed = {**pieces, **(FAULTS[fault][1] if fault else {})}
    for key in ("g_rate", "d_rate"):
        changed[key] = float(str(changed[key]))
    return _tidy(SCRIPT.format(**changed)), _tidy(SCRIPT.format(**pieces))


def _tidy(text: str) -> str:
    """Without the lines that a missing piece left empty."""
    lines = text.split("\n")
    return "\n".join(line for line in lines if line == "" or line.strip())
