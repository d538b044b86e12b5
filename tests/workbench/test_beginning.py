"""How a training begins, in a process of its own."""

import subprocess
import sys
from pathlib import Path


def test_a_training_begins_without_scikit_learn(tmp_path: Path) -> None:
    """It takes a second to import, and is needed for figures and rivals only, when training is over."""
    code = (
        "import sys, glia\n"
        "def begin(*given): assert 'sklearn' not in sys.modules; raise SystemExit(7)\n"
        "glia.train('digits', runs=sys.argv[1], lr=0.1, precision='float32', products='torch', begin=begin)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 7, done.stderr
