"""plateau (GL311)

Finds: a loss that fell at first and then stays flat at a level that is still bad.
Hurts: more of the same training changes nothing.
Evidence: the loss of the first tenth, of the tenth in the middle and of the last; the loss of knowing nothing.
Cure: a learning rate of a tenth where the loss is noisy, of ten times where it is smooth.
Not a fault when: the level is the best that these inputs allow (noise in the labels sets a floor).
Source: Goodfellow, Bengio, Courville 2016, "Deep Learning", section 8.2.2.
"""

from collections.abc import Iterator

from glia.doctor.course import course, peak_rate
from glia.doctor.finding import Finding, Rule
from glia.vitals.chart import Chart

RULE = Rule("GL311", "plateau", "lr_too_low")
FALLEN, FLAT, BAD, NOISY = 0.1, 0.03, 0.5, 0.1


def check(chart: Chart) -> Iterator[Finding]:
    run = course(chart)
    if run is None:
        return
    first, half, last = run.parts[0], run.parts[len(run.parts) // 2], run.parts[-1]
    level = max(abs(half), 1e-12)
    fell = half < (1 - FALLEN) * max(first, run.losses[0])
    if not fell or abs(last - half) > FLAT * level or last < BAD * run.reference:
        return
    lr, noisy = peak_rate(chart), run.jump > NOISY
    yield RULE.finding(
        "warning",
        f"the training loss from step {len(run.losses) // 2}",
        {"first_tenth": first, "in_the_middle": half, "last_tenth": last, "lr": lr} | run.evidence(),
        "the network has reached what it can at this learning rate, or with these layers",
        "lower the learning rate to a tenth" if noisy else "raise the learning rate tenfold",
        safe=False,
        cause="lr_too_high" if noisy else "lr_too_low",
        change={} if not lr > 0 else {"lr": lr / 10 if noisy else lr * 10},
        prior=0.35,
    )
