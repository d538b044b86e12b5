"""Run the doctor on each script and on its sick twins, and print what it said.

python tests/scripts/run_all.py [NAME ...] [--healthy] [--sick] [--json FILE]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from faults import TWINS

HERE = Path(__file__).resolve().parent
GLIA = Path(sys.executable).parent / "glia"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default"}
NOT_SCRIPTS = {"run_all", "faults", "__init__"}
ALONE = "glia doctor  "  # where the doctor's own words begin


def scripts() -> list[Path]:
    return sorted(p for p in HERE.glob("*.py") if p.stem not in NOT_SCRIPTS and not p.stem.startswith("test_"))


def run(command: list[str], folder: Path) -> tuple[int, str, str, float]:
    """Exit code, output, errors, seconds."""
    began = time.monotonic()
    done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=600)
    return done.returncode, done.stdout, done.stderr, time.monotonic() - began


def examined(script: Path, folder: Path) -> dict:
    """What the doctor says of a script; `same`: its output is what it is without the doctor."""
    code, alone, errors, seconds = run([sys.executable, str(script)], folder)
    answer = folder / "answer.json"
    answer.unlink(missing_ok=True)
    command = [str(GLIA), "doctor", str(script), "--format", "json", "--output", str(answer)]
    code_doctor, said, wrong, longer = run(command, folder)
    own = said.split("\n" + ALONE)[0]
    found = json.loads(answer.read_text()) if answer.exists() else {"findings": [], "crash": wrong[-600:]}
    return {
        **found,
        "code": code, "code_doctor": code_doctor, "seconds": seconds, "seconds_doctor": longer,
        "same": own.rstrip() == alone.rstrip(), "errors": errors[-300:],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--healthy", action="store_true")
    parser.add_argument("--sick", action="store_true")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    every, answers = not (args.healthy or args.sick), {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for script in scripts():
            if args.names and script.stem not in args.names:
                continue
            if every or args.healthy:
                answers[script.stem] = answer = examined(script, folder)
                alarms = [f for f in answer["findings"] if f["severity"] != "note"]
                show(script.stem, "healthy", answer, not alarms and "crash" not in answer)
            for twin in (t for t in TWINS if t.script == script.stem and (every or args.sick)):
                sick = folder / f"{script.stem}.py"
                sick.write_text(twin.text(script.read_text()))
                answers[f"{script.stem}/{twin.fault}"] = answer = examined(sick, folder)
                alarms = [f for f in answer["findings"] if f["severity"] != "note"]
                show(script.stem, twin.fault, answer, bool(alarms) and alarms[0]["cause"] in twin.causes)
                sick.unlink()
            if args.json:
                args.json.write_text(json.dumps(answers, indent=1))


def show(script: str, fault: str, answer: dict, right: bool) -> None:
    marks = {"error": "E", "warning": "W", "note": "n"}
    found = " ".join(f"{marks[f['severity']]}:{f['code']}:{f['cause']}" for f in answer["findings"])
    scores = " ".join(s[:24] for t in answer.get("trainings", []) for s in t["scores"].values())
    codes = f"{answer['code']}/{answer['code_doctor']}/{answer.get('exit_code')}"
    print(
        f"{'ok ' if right else 'BAD'} {script:14} {fault:15} {answer['seconds']:5.1f}s {answer['seconds_doctor']:5.1f}s"
        f" exit {codes} {'same' if answer['same'] else 'OUTPUT DIFFERS'}"
        f" [{scores}] {found or answer.get('crash', '-')}",
        flush=True,
    )


if __name__ == "__main__":
    main()
