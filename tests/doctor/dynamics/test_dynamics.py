"""Where the lines are drawn in the course of a run, on charts made by hand; and which cause is named."""

import math
from collections.abc import Iterable

import pytest
import torch
from dynamic_programs import Functional, adam, line, of_class
from small_programs import X, Y, mlp, simple, train
from torch import nn
from torch.nn import functional as F

from glia.catalog.optimizers import USUAL_RATES
from glia.doctor.checks.dynamics import (
    dead_relu,
    diverging,
    exploding_gradient,
    loss_not_falling,
    non_finite,
    option_out_of_range,
    oscillating,
    plateau,
    rate_out_of_range,
    saturated_activation,
    still_falling,
    tiny_batch_norm,
    updates_too_large,
    updates_too_small,
    vanishing_gradient,
)
from glia.doctor.course import course
from glia.vitals.chart import (
    BatchFacts,
    BirthFacts,
    Chart,
    LayerVitals,
    LoopFacts,
    LossFacts,
    ModelFacts,
    OperationFacts,
    OptimizerFacts,
    Spread,
    StepVitals,
)

CHANCE = LossFacts("cross_entropy", value=2.3, total=2.3, classes=10, chance=2.3)
SGD = [OptimizerFacts("SGD", {"lr": 0.1})]


def run(losses: Iterable[float], lr: float = 0.1, **more: object) -> Chart:
    steps = [StepVitals(i, loss, lr=lr, grad_norm=1.0) for i, loss in enumerate(losses)]
    return Chart(steps=steps, losses=[CHANCE], **more)


def one(check, chart: Chart):
    (finding,) = check(chart)
    return finding


def test_the_course_is_what_torch_and_least_squares_say():
    losses = [3 - i / 100 + math.sin(i) / 10 for i in range(200)]
    found = course(run(losses))
    late = torch.tensor(losses[100:], dtype=torch.float64)
    places = torch.stack([torch.ones(100), torch.arange(100)], 1).double()
    start, slope = torch.linalg.lstsq(places, late.unsqueeze(1)).solution.flatten().tolist()
    assert found.fall == pytest.approx(-slope * 99 / start)
    left = (late - places @ torch.tensor([start, slope]).double()).square().sum() / 98
    covariance = left * torch.linalg.inv(places.T @ places)
    assert found.error == pytest.approx(covariance[1, 1].sqrt().item() * 99 / start)
    assert found.parts[0] == pytest.approx(torch.tensor(losses[:20]).quantile(0.5).item())


def test_the_rate_from_which_a_bowl_diverges_is_the_known_one():
    steepest = torch.linalg.eigvalsh(2 * X.T @ X / len(X)).max().item()
    assert not list(diverging.check(line(0.5 * 2 / steepest, 150)))
    found = one(diverging.check, line(1.5 * 2 / steepest, 40))
    assert found.cause == "lr_too_high" and found.change["lr"] == pytest.approx(1.5 * 2 / steepest / 10)


def test_a_loss_that_is_made_larger_is_not_said_to_diverge():
    chart = run([-2.0 * i for i in range(1, 100)])
    assert not list(diverging.check(chart)) and not list(oscillating.check(chart))


def test_a_rise_that_comes_down_again_is_no_divergence():
    assert not list(diverging.check(run([2.3 + 40 * math.sin(math.pi * i / 200) for i in range(201)])))


def test_noise_about_the_loss_of_a_constant_answer_is_not_oscillation():
    generator = torch.Generator().manual_seed(0)
    noise = (2.3 * torch.rand(400, generator=generator) * 2).tolist()  # its mean is the loss of knowing nothing
    assert not list(oscillating.check(run(noise)))
    above = (2.3 * torch.rand(400, generator=generator) * 20).tolist()
    assert one(oscillating.check, run(above)).change == {"lr": pytest.approx(0.01)}
    still = run(above)
    still.steps = [StepVitals(s.step, s.loss, s.lr, 0.0) for s in still.steps]
    assert not list(oscillating.check(still))  # nothing moves: only the batches differ


def test_jumps_under_heavy_dropout_are_laid_at_the_dropout():
    generator = torch.Generator().manual_seed(0)
    above = (2.3 * torch.rand(400, generator=generator) * 20).tolist()
    for p, cause in ((0.5, "lr_too_high"), (0.9, "dropout_too_high")):
        models = [ModelFacts("Net", operations=(OperationFacts("dropout", option=p),))]
        assert one(oscillating.check, run(above, models=models)).cause == cause


def test_a_loss_far_up_without_any_gradient_is_laid_at_the_output():
    chart = run([50.0] * 200)
    assert one(loss_not_falling.check, chart).cause == "lr_too_high"
    chart.steps = [StepVitals(s.step, s.loss, s.lr, 0.0) for s in chart.steps]
    found = one(loss_not_falling.check, chart)
    assert found.cause == "wrong_output_activation" and found.change == {}


@pytest.mark.parametrize(("operation", "cause"), [
    ("the inputs", "nan_in_data"), ("log", "unstable_loss_impl"), ("linear", "lr_too_high"), ("", "lr_too_high"),
])  # fmt: skip
def test_where_a_nan_was_born_names_its_cause(operation, cause):
    birth = BirthFacts(2, operation) if operation else None
    found = one(non_finite.check, run([2.3, 2.2, math.nan, math.nan], optimizers=SGD, birth=birth))
    assert found.cause == cause and found.sure and found.severity == "error"


def test_a_loss_written_out_with_a_logarithm_is_blamed_before_a_sound_rate():
    model = mlp()
    with torch.no_grad():
        model[-1].weight.mul_(400)
    chart = train(
        model, torch.optim.Adam(model.parameters(), 1e-3), (X, Y),
        lambda out, y: -(out.softmax(1).log() * F.one_hot(y, 3)).sum(1).mean(), steps=20,
    )  # fmt: skip
    assert one(non_finite.check, chart).cause == "unstable_loss_impl"


def test_rare_huge_gradients_of_a_recurrent_network_ask_for_clipping():
    model = [ModelFacts("Net", (("", "Net"), ("rnn", "LSTM")))]
    chart = run([2.3, 2.2, math.nan], lr=1e-3, optimizers=[OptimizerFacts("Adam")], models=model)
    found = one(non_finite.check, chart)
    assert found.cause == "missing_clipping" and found.change == {"clip_norm": 1.0}


@pytest.mark.parametrize(("dead", "size", "cause"), [
    ([1.0] * 20, 1.0, "wrong_init"),
    ([0.1] * 10 + [1.0] * 10, 1.0, "lr_too_high"),
    ([1.0] * 20, 120.0, "data_not_normalised"),
])  # fmt: skip
def test_when_the_units_died_says_why(dead, size, cause):
    layers = []
    for step, share in enumerate(dead):
        layers.append(LayerVitals(step, "0", "Linear", input=Spread(0.0, size, rows=32), weight_norm=1.0))
        layers.append(LayerVitals(step, "1", "ReLU", Spread(zeros=0.9, dead=share, rows=32)))
    assert one(dead_relu.check, run([2.3] * 20, layers=layers)).cause == cause


def test_outwardness_is_the_mean_square_and_a_function_shows_at_the_next_layer():
    x = torch.randn(500, generator=torch.Generator().manual_seed(0)).mul(30).sigmoid()
    spread = Spread(x.mean().item(), x.std(correction=0).item(), rows=500)
    assert saturated_activation.outwardness(spread, 0.0, 1.0) == pytest.approx((2 * x - 1).square().mean().item())
    assert one(saturated_activation.check, simple(Functional(60.0), 1e-4, steps=30)).where == "input of b (Linear)"
    assert not list(saturated_activation.check(simple(Functional(1.0), steps=30)))


def test_a_sure_answer_at_the_end_of_a_network_is_not_saturated():
    layers = [
        LayerVitals(0, "0", "Linear", weight_norm=1.0),
        LayerVitals(0, "1", "Sigmoid", Spread(0.5, 0.5, rows=32)),
    ]
    assert not list(saturated_activation.check(run([2.3], layers=layers)))
    layers.append(LayerVitals(0, "2", "Linear", weight_norm=1.0))
    assert list(saturated_activation.check(run([2.3], layers=layers)))


def moved(ratio: float, pull: float = 0.1, lr: float = 0.1) -> Chart:
    layers = [LayerVitals(i, "0", "Linear", grad_norm=pull, weight_norm=1.0, update_ratio=ratio) for i in range(20)]
    return run([2.3] * 20, lr, layers=layers, optimizers=SGD)


def test_updates_are_too_large_or_too_small_far_from_a_thousandth_only():
    for ratio in (3e-5, 1e-3, 1e-1):
        assert not list(updates_too_large.check(moved(ratio))) and not list(updates_too_small.check(moved(ratio)))
    assert one(updates_too_large.check, moved(2.0)).prior > one(updates_too_large.check, moved(0.4)).prior
    assert one(updates_too_small.check, moved(1e-6)).change == {"lr": pytest.approx(1.0)}
    assert not list(updates_too_small.check(moved(1e-6, pull=1e-7)))  # it is the gradient that is missing


def test_large_updates_of_young_weights_are_usual():
    layers = [
        LayerVitals(i, "0", "Linear", grad_norm=0.1, weight_norm=1.0, update_ratio=1.0 if i < 5 else 1e-2)
        for i in range(20)
    ]
    assert not list(updates_too_large.check(run([2.3] * 20, layers=layers)))


def test_a_plateau_is_flat_and_bad_after_a_fall():
    falls = [4 - i / 25 for i in range(50)]
    assert one(plateau.check, run([*falls, *[2.0] * 150])).prior < 0.5
    assert not list(plateau.check(run([*falls, *[0.3] * 150])))
    assert not list(plateau.check(run([2.3] * 200)))
    assert not list(plateau.check(run([4 - i / 60 for i in range(200)])))


@pytest.mark.parametrize(("kind", "lr", "loop", "cause"), [
    ("Adadelta", 1e-3, LoopFacts(20, 200, 32, 320), "lr_too_low"),
    ("Adam", 1e-3, LoopFacts(1, 200, 32, 6400), "too_few_epochs"),
    ("Adam", 1e-3, LoopFacts(40, 200, 500, 2500), "bad_batch_size"),
    ("Adam", 2e-5, LoopFacts(10, 200, 32, 640), "lr_too_low"),
    ("Adam", 1e-3, LoopFacts(10, 200, 32, 640), "too_few_epochs"),
])  # fmt: skip
def test_three_names_for_not_enough_progress(kind, lr, loop, cause):
    chart = run([2.3 - i / 2000 for i in range(200)], lr, optimizers=[OptimizerFacts(kind)], loop=loop)
    found = one(still_falling.check, chart)
    assert found.cause == cause and found.change


def test_a_flat_or_noisy_end_is_not_still_falling():
    generator = torch.Generator().manual_seed(0)
    assert not list(still_falling.check(run([2.3] * 200)))
    assert not list(still_falling.check(run((2.3 + torch.randn(200, generator=generator)).tolist())))


def test_few_steps_are_enough_to_see_a_fall():
    chart = run([2.3 - i / 100 for i in range(15)], optimizers=[OptimizerFacts("Adam")], loop=LoopFacts(1, 15, 64, 960))
    assert one(still_falling.check, chart).cause == "too_few_epochs"


@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta", "NAdam", "RAdam", "Adamax",
                                  "ASGD", "Rprop", "Adafactor", "LBFGS", "SparseAdam"])  # fmt: skip
def test_torchs_own_default_rates_are_usual(kind):
    optimizer = getattr(torch.optim, kind)([nn.Parameter(torch.zeros(2, 2))])
    lowest, start, highest = USUAL_RATES[kind]
    assert lowest <= optimizer.param_groups[0]["lr"] <= highest and lowest <= start <= highest


@pytest.mark.parametrize(("kind", "lr", "cause"), [
    ("SGD", 3.0, "lr_too_high"), ("SGD", 0.1, None), ("SGD", 1e-6, "lr_too_low"), ("Adadelta", 1e-3, "lr_too_low"),
    ("Adam", 0.5, "lr_too_high"), ("Adam", 3e-4, None), ("MyOwn", 50.0, None),
])  # fmt: skip
def test_rates_outside_the_usual_range_are_named(kind, lr, cause):
    found = list(rate_out_of_range.check(run([2.3] * 9, lr, optimizers=[OptimizerFacts(kind)])))
    assert [f.cause for f in found] == ([cause] if cause else [])


def test_a_warm_up_is_judged_by_its_peak():
    chart = run([2.3] * 9, optimizers=SGD)
    chart.steps = [StepVitals(s.step, s.loss, lr=s.step * 1e-2) for s in chart.steps]
    assert not list(rate_out_of_range.check(chart))


@pytest.mark.parametrize(("kind", "options", "found"), [
    ("Adam", {"eps": 10.0}, {"eps": 10.0}), ("Adam", {"eps": 1e-4}, {}),
    ("SGD", {"momentum": 0.99999}, {"momentum": 0.99999}),
    ("SGD", {"momentum": 0.99}, {}), ("RMSprop", {"alpha": 0.99, "eps": 1e-8}, {}), ("LBFGS", {"eps": 1.0}, {}),
    ("Adam", {"beta2": 0.999999}, {"beta2": 0.999999}),
])  # fmt: skip
def test_only_options_that_hold_steps_back_are_strange(kind, options, found):
    assert option_out_of_range.strange_options(Chart(optimizers=[OptimizerFacts(kind, options)])) == found


def test_the_default_options_of_torch_are_not_strange():
    for kind in (torch.optim.Adam, torch.optim.RMSprop, torch.optim.Adadelta, torch.optim.Adagrad):
        assert not list(option_out_of_range.check(of_class(kind, 1e-3, steps=3)))
    assert list(option_out_of_range.check(adam(eps=1.0, steps=3)))


def test_batch_norm_over_few_rows_is_seen_in_functions_too():
    batches = [BatchFacts(i, (2, 8)) for i in range(5)]
    named = ModelFacts("Net", (("", "Net"), ("bn", "BatchNorm1d")))
    called = ModelFacts("Net", (("", "Net"),), operations=(OperationFacts("batch_norm"),))
    for model in (named, called):
        assert one(tiny_batch_norm.check, run([2.3], models=[model], batches=batches)).cause == "bad_batch_size"
        wide = [BatchFacts(i, (32 if i else 2, 8)) for i in range(5)]  # one small batch is nothing
        assert not list(tiny_batch_norm.check(run([2.3], models=[model], batches=wide)))
    assert not list(tiny_batch_norm.check(run([2.3], models=[ModelFacts("Net")], batches=batches)))


def test_faint_gradients_are_laid_at_sigmoid_or_at_the_first_weights():
    def deep(kind: str) -> Chart:
        layers = []
        for i, norm in enumerate((1e-6, 1e-3, 1.0)):
            layers += [LayerVitals(0, f"{i}", "Linear", grad_norm=norm, weight_norm=1.0), LayerVitals(0, f"a{i}", kind)]
        return run([2.3] * 9, layers=layers)

    assert one(vanishing_gradient.check, deep("Sigmoid")).cause == "wrong_hidden_activation"
    found = one(vanishing_gradient.check, deep("ReLU"))
    assert found.cause == "vanishing_gradient_architecture" and found.change == {"init": "he"}


def test_growing_gradients_are_laid_at_what_is_large():
    def growing(**more: object) -> Chart:
        chart = run([2.3] * 60, **more)
        chart.steps = [StepVitals(i, 2.3, 0.1, 10.0 ** (i / 10)) for i in range(60)]
        return chart

    assert one(exploding_gradient.check, growing()).cause == "lr_too_high"
    wide = [LayerVitals(0, "0", "Linear", input=Spread(100.0, 80.0, rows=9), weight_norm=1.0)]
    assert one(exploding_gradient.check, growing(layers=wide)).cause == "data_not_normalised"
