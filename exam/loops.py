"""Loops as text: the step, the evaluation and the ways that authors lay a training script out."""

from textwrap import indent

from exam.program import Program

FORWARD = {
    "plain": "out = model({})",
    "dict": 'out = model({})["logits"]',
    "tuple": "out, _ = model({})",
    "loss": "_, out = model({})",
}
SCHEDULES = {
    "cosine": ("torch.optim.lr_scheduler.CosineAnnealingLR({o}, {epochs})", "epoch"),
    "step": ("torch.optim.lr_scheduler.StepLR({o}, {third}, gamma=0.5)", "epoch"),
    "onecycle": ("torch.optim.lr_scheduler.OneCycleLR({o}, max_lr={lr}, total_steps={steps})", "batch"),
    "warmup": ("torch.optim.lr_scheduler.LambdaLR({o}, lambda s: min(1.0, (s + 1) / {tenth}))", "batch"),
    "plateau": ('torch.optim.lr_scheduler.ReduceLROnPlateau({o}, mode="max", patience=5)', "score"),
}


def deeper(lines: list[str], levels: int = 1) -> list[str]:
    return [indent(line, "    " * levels) for line in lines]


def optimiser_lines(p: Program, rate: str | None = None) -> list[str]:
    lines = []
    for each in p.optimisers:
        options = [] if each.lr is None else [f"lr={rate or f'{each.lr:g}'}"]
        options += [f"{key}={value!r}" for key, value in each.options.items()]
        lines.append(f"{each.variable} = torch.optim.{each.name}({', '.join([each.parameters, *options])})")
    if p.schedule:
        text = SCHEDULES[p.schedule][0].format(
            o="optimizer", epochs=p.epochs, third=max(p.epochs // 3, 1), lr=f"{p.optimiser.lr:g}",
            steps=p.steps, tenth=max(p.steps // 10, 1),
        )  # fmt: skip
        lines.append(f"scheduler = {text}")
    return lines


def step_lines(p: Program) -> list[str]:
    """What is done with one batch x, y."""
    zero = [f"{each.variable}.zero_grad()" for each in p.optimisers]
    step = [f"{each.variable}.step()" for each in p.optimisers]
    if p.step == "none":
        step = []
    elif p.step == "rare":
        step = ["if (epoch + 1) % 100 == 0:", *deeper(step)]
    ahead = [FORWARD[p.wrap].format("x"), f"loss = {p.loss}"] if p.wrap != "loss" else ["loss, out = model(x, y)"]
    if p.bfloat:
        ahead = ['with torch.autocast("cpu", dtype=torch.bfloat16):', *deeper(ahead)]
    clip = [f"nn.utils.clip_grad_norm_(model.parameters(), {p.clip})"] if p.clip else []
    batch_end = ["scheduler.step()"] if p.schedule and SCHEDULES[p.schedule][1] == "batch" else []
    if p.accumulate > 1:
        inner = [*clip, *step, *(zero if p.zero == "first" else []), *batch_end]
        return [*ahead, f"(loss / {p.accumulate}).backward()", f"if (i + 1) % {p.accumulate} == 0:", *deeper(inner)]
    lines = [*(zero if p.zero == "first" else []), *ahead, "loss.backward()"]
    lines += zero if p.zero == "between" else []
    return [*lines, *clip, *step, *(zero if p.zero == "last" else []), *batch_end]


def judging_lines(p: Program) -> list[str]:
    """Lines that give `score`."""
    which = p.seen
    call = ["model.eval()"] if p.eval_call == "eval" else []
    metric = p.metric.replace("answers", f"y_{which}")
    return [*call, "with torch.no_grad():", *deeper([FORWARD[p.wrap].format(f"x_{which}")]), f"score = {metric}"]


def batch_lines(p: Program) -> list[str]:
    """The loop over batches of one epoch."""
    body = [*step_lines(p), "total += loss.item()", "batches += 1"]
    if p.style == "closure":
        inner = [f"{p.optimiser.variable}.zero_grad()", FORWARD[p.wrap].format("x_train")]
        inner += [f"loss = {p.loss}", "loss.backward()", "return loss"]
        return [
            "y = y_train",
            "",
            "def closure():",
            *deeper(inner),
            "",
            "total, batches = optimizer.step(closure).item(), 1",
        ]
    if p.style == "randperm":
        order = "torch.randperm(len(x_train))" if p.shuffle else "torch.arange(len(x_train))"
        count = f"for i, start in enumerate(range(0, len(x_train), {p.batch})):"
        if p.accumulate == 1:
            count = f"for start in range(0, len(x_train), {p.batch}):"
        pick = [f"rows = order[start : start + {p.batch}]", "x, y = x_train[rows], y_train[rows]"]
        return ["total, batches = 0.0, 0", f"order = {order}", count, *deeper([*pick, *body])]
    count = "for i, (x, y) in enumerate(loader):" if p.accumulate > 1 else "for x, y in loader:"
    return ["total, batches = 0.0, 0", count, *deeper(body)]


def epoch_lines(p: Program, judge: list[str]) -> list[str]:
    """The whole training, from the first epoch to the last line that is printed."""
    lines = ["model.train()"] if p.train_call == "each" else ["model.eval()"] if p.train_call == "eval" else []
    lines += batch_lines(p)
    if p.monitor == "each":
        lines += [*judge, 'print(f"epoch {epoch + 1}: loss {total / batches:.4f}, score {score:.4f}")']
    else:
        lines += ["if epoch % 5 == 0:", '    print(f"epoch {epoch + 1}: loss {total / batches:.4f}")']
    when = SCHEDULES[p.schedule][1] if p.schedule else ""
    lines += {"epoch": ["scheduler.step()"], "score": ["scheduler.step(score)"]}.get(when, [])
    head = []
    if p.patience and p.monitor == "each":
        head = ['best, waited = -float("inf"), 0']
        lines += ["if score > best:", "    best, waited = score, 0", "else:", "    waited += 1"]
        lines += [f"if waited > {p.patience}:", "    break"]
    lines = [*head, f"for epoch in range({p.epochs}):", *deeper(lines)]
    lines += [] if p.monitor == "each" else ["", *judge]
    return [*lines, f'print(f"final {measure(p)} {{score:.4f}}")']


def measure(p: Program) -> str:
    if p.data.form == "rare":
        return "balanced accuracy"
    return "r2" if p.data.task in ("number", "rebuild") else "accuracy"
