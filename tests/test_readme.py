"""What the README shows, run as it stands, on small data of the same shape."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

README = Path(__file__).resolve().parents[1] / "README.md"
BLOCKS = re.findall(r"```(bash|python)\n(.*?)```", README.read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with small files of every kind that the README names."""
    folder = tmp_path_factory.mktemp("readme")
    rng = np.random.default_rng(0)
    lines = []
    for number in range(240):
        sex, age, pclass = rng.choice(["male", "female"]), rng.integers(1, 80), rng.integers(1, 4)
        survived = int(rng.random() < (0.8 if sex == "female" else 0.15))
        fare, name = rng.gamma(2.0, 15.0), f"Person {number}"
        lines.append(f"{survived},{pclass},{name},{sex},{age if number % 9 else ''},{fare:.2f},{number // 2}")
    header = "survived,pclass,name,sex,age,fare,family"
    for name, rows in (("titanic", lines), ("labelled", lines[:50]), ("new", lines[50:60])):
        (folder / f"{name}.csv").write_text("\n".join([header, *rows]) + "\n")
    for label in ("light", "dark"):
        for number in range(24):
            picture = rng.integers(0, 90, (16, 16, 3)) + (150 if label == "light" else 0)
            path = folder / "photos" / label / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture.astype(np.uint8)).save(path)
    spoken = [f"the {rng.choice(['film', 'plot'])} number {i} was {'great' if i % 2 else 'dull'}" for i in range(60)]
    reviews = [f"{text},{i % 2}" for i, text in enumerate(spoken)]
    (folder / "reviews.csv").write_text("\n".join(["review,label", *reviews]) + "\n")
    (folder / "new_reviews.csv").write_text("\n".join(["review", *spoken[:5]]) + "\n")
    hours = [f"2024-01-{1 + h // 24:02d} {h % 24:02d}:00,{50 + 10 * np.sin(h / 3.82):.2f}" for h in range(400)]
    (folder / "load.csv").write_text("\n".join(["when,load", *hours]) + "\n")
    words = {"one": "eins", "two": "zwei", "old": "alte", "dog": "Hund", "cat": "Katze", "sees": "sieht"}
    texts = [rng.choice(list(words), 4).tolist() for _ in range(60)]
    for name, rows in (("train", texts), ("letter", texts[:3])):
        (folder / f"{name}.en").write_text("".join(" ".join(row) + "\n" for row in rows))
        (folder / f"{name}.de").write_text("".join(" ".join(words[word] for word in row) + "\n" for row in rows))
    (folder / "letter.de").unlink()
    (folder / "GunPoint").mkdir()
    for part, count in (("TRAIN", 16), ("TEST", 8)):
        series = [np.sin(np.arange(20) / (2 + i % 2)) + rng.normal(0, 0.1, 20) for i in range(count)]
        rows = [",".join(f"{value:.3f}" for value in one) + f":{1 + i % 2}" for i, one in enumerate(series)]
        head = "@problemName GunPoint\n@timeStamps false\n@univariate true\n@classLabel true 1 2\n@data\n"
        (folder / "GunPoint" / f"GunPoint_{part}.ts").write_text(head + "\n".join(rows) + "\n")
    steps = [
        f"w{walk},{t},{np.sin(t / (2 + walk % 2)) + rng.normal(0, 0.1):.3f},{'ab'[walk % 2]},p{walk % 10}"
        for walk in range(40)
        for t in range(12)
    ]
    (folder / "walks.csv").write_text("\n".join(["walk,t,x,who,person", *steps]) + "\n")
    shutil.copytree(folder / "photos" / "dark", folder / "more_photos")
    shutil.copy(Path(__file__).parent / "scripts" / "embedding_bag.py", folder / "train.py")
    return folder


@pytest.mark.timeout(900)  # every command of the page, one after the other
def test_the_readme_runs(place: Path) -> None:
    """One block after the other, as a reader would."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    assert len(BLOCKS) > 6
    for kind, code in BLOCKS:
        command = ["bash", "-euo", "pipefail", "-c", code] if kind == "bash" else [sys.executable, "-c", code]
        answer = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, f"{code}\n{answer.stdout}{answer.stderr}"
        assert "Traceback" not in answer.stderr
