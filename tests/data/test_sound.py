"""Sounds from files: every form of file gives the same wave, bad ones are named, and a long one comes in windows."""

import csv
import struct
import wave as stdlib_wave
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import glia
from glia.data.facts import SoundFacts
from glia.data.sound import decode as decoding
from glia.data.sound import waves as waves_room
from glia.data.sound.decode import FULL, Unreadable, decode
from glia.data.sound.reader import SoundReader
from glia.data.sound.transcripts import are_transcripts, encode, spelled, task_of
from glia.data.task import Task
from glia.errors import GliaError
from glia.workbench.prepare import prepare
from tests.data.sounds import RATE, class_folders, tone, write

CLASSES = Task("classify", ("class",), ("high", "low"))


@pytest.mark.parametrize(
    ("name", "subtype", "off"),
    [
        ("a.wav", "PCM_U8", 1 / 100),
        ("a.wav", "PCM_16", 1e-4),
        ("a.wav", "PCM_24", 1e-4),
        ("a.wav", "PCM_32", 1e-4),
        ("a.wav", "FLOAT", 1e-4),
        ("a.wav", "DOUBLE", 1e-4),
        ("a.flac", None, 1e-4),
        ("a.aiff", None, 1e-4),
        ("a.ogg", None, 0.05),
        ("a.mp3", None, 0.1),
    ],
)
def test_every_form_of_file_is_the_same_sound(tmp_path: Path, name: str, subtype: str | None, off: float) -> None:
    wave = tone(440, 0.5)
    found = decode(write(tmp_path / name, wave, subtype=subtype), RATE) / FULL
    assert len(found) == len(wave)
    np.testing.assert_allclose(found[400:-400], wave[400:-400], atol=off)


def test_sixteen_bits_are_those_of_the_standard_library(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", tone(300), subtype="PCM_16")
    with stdlib_wave.open(str(path)) as file:
        theirs = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    np.testing.assert_array_equal(decode(path, RATE), theirs)


def test_channels_are_averaged_and_rates_changed(tmp_path: Path) -> None:
    """A tone keeps its height at another rate; one above half the new rate is gone."""
    left, right = tone(440, 0.5, 44_100), tone(880, 0.5, 44_100)
    stereo = decode(write(tmp_path / "s.wav", np.stack([left, right], 1), 44_100, "FLOAT"), 44_100)
    np.testing.assert_allclose(stereo / FULL, (left + right) / 2, atol=1e-4)
    lower = decode(tmp_path / "s.wav", RATE)
    assert len(lower) == RATE // 2
    np.testing.assert_allclose(lower[200:-200] / FULL, ((tone(440, 0.5) + tone(880, 0.5)) / 2)[200:-200], atol=1e-3)
    write(tmp_path / "high.wav", tone(6000, 0.5, 44_100) + tone(500, 0.5, 44_100), 44_100)
    kept = np.abs(np.fft.rfft(decode(tmp_path / "high.wav", RATE)[: RATE // 2]))
    assert kept[250] > 1000 * kept[900:1100].max()  # 500 Hz is there, and nothing around 2,000 Hz, the alias of 6,000


def bad_files(root: Path) -> dict[str, str]:
    """Files that give no sound, and what is said of each."""
    write(root / "ok.wav", tone(440))
    whole = (root / "ok.wav").read_bytes()
    contents = {
        "text.mp3": (b"this is no music\n" * 50, "not a sound"),
        "text.wav": (b"this is no music\n" * 50, "not a sound"),
        "empty.wav": (b"", "an empty file"),
        "cut.wav": (whole[: len(whole) // 2], "truncated: "),
        "header.wav": (whole[:44], "no samples"),
    }
    for name, (content, _) in contents.items():
        (root / name).write_bytes(content)
    write(root / "silent.wav", np.zeros(800, np.float32))
    write(root / "constant.wav", np.full(800, 0.25, np.float32))
    write(root / "nan.wav", np.array([0.1, np.nan, 0.2] * 200, np.float32), subtype="FLOAT")
    write(root / "slow.wav", tone(5), 100)
    soundfile.write(root / "cut.flac", tone(440, 2), RATE)
    (root / "cut.flac").write_bytes((root / "cut.flac").read_bytes()[:2000])
    (root / "ok.wav").unlink()
    others = {
        "silent.wav": "silent", "constant.wav": "silent", "nan.wav": "NaN", "slow.wav": "100 samples a second",
        "cut.flac": "lost sync", "absent.wav": "No such file",
    }  # fmt: skip
    return {name: why for name, (_, why) in contents.items()} | others


def test_what_is_no_sound_is_said_in_a_few_words(tmp_path: Path) -> None:
    for name, why in bad_files(tmp_path).items():
        with pytest.raises(Unreadable, match=why):
            decode(tmp_path / name, RATE)


def test_a_stream_of_unknown_length_is_read(tmp_path: Path) -> None:
    """Recorders that write to a pipe promise 2^32 - 1 bytes."""
    path = write(tmp_path / "a.wav", tone(440), subtype="PCM_16")
    content = path.read_bytes()
    path.write_bytes(content[:40] + struct.pack("<I", 2**32 - 1) + content[44:])
    assert len(decode(path, RATE)) == len(tone(440))


def test_seconds_have_a_limit(tmp_path: Path) -> None:
    path = write(tmp_path / "long.wav", tone(440, 61))
    with pytest.raises(Unreadable, match="--limits sound_s=62"):
        decode(path, RATE)
    assert len(decode(path, RATE, {"sound_s": 62})) == 61 * RATE


def test_loud_floats_are_scaled_not_cut(tmp_path: Path) -> None:
    found = decode(write(tmp_path / "a.wav", 6 * tone(440), subtype="FLOAT"), RATE) / FULL
    np.testing.assert_allclose(found, 2 * tone(440), atol=1e-3)


def test_a_few_bad_files_are_counted_and_many_refused(tmp_path: Path) -> None:
    class_folders(tmp_path / "good")
    for name in ("text.mp3", "cut.wav", "silent.wav"):
        bad_files(tmp_path / "bad")
        (tmp_path / "bad" / name).rename(tmp_path / "good" / "low" / name)
    with pytest.raises(GliaError, match=r"1 of 27 sounds in .* cannot be read: low/text.mp3 \(not a sound\)"):
        prepare(tmp_path / "good", bad_limit=0.0)
    found = prepare(tmp_path / "good", bad_limit=0.2)
    assert any(note.startswith("3 sounds could not be read") for note in found.notes)
    assert [line["what"] for line in found.card["dropped"]] == ["low/cut.wav", "low/silent.wav", "low/text.mp3"]
    for path in (tmp_path / "good").rglob("*.wav"):
        path.write_bytes(b"RIFF")
    with pytest.raises(GliaError, match="27 of 27 sounds"):
        prepare(tmp_path / "good", bad_limit=0.99)


def test_folders_of_classes(tmp_path: Path) -> None:
    found = prepare(class_folders(tmp_path / "tones"), augment="none")
    assert found.reader.kind == "sound" and found.task.classes == ("high", "low")
    assert {name: len(getattr(found, name)) for name in ("train", "valid", "test")} == found.card["parts"]
    assert isinstance(found.facts, SoundFacts) and found.facts.rate == RATE and not found.facts.masks
    batch = found.train.at(torch.arange(4))
    lengths = (~batch.inputs.isnan()).sum(1)
    assert found.train.lengths is not None and lengths.tolist() == found.train.lengths[:4].tolist()
    assert batch.inputs.shape[1] == lengths.max()
    bands = len(found.facts.mean)
    from glia.models.sound import Bands

    front = Bands(found.facts).eval()
    x, frames = front(found.train.at(torch.arange(len(found.train))).inputs)
    there = torch.arange(x.shape[1]) < frames[:, None]
    torch.testing.assert_close(x[there].mean(0), torch.zeros(bands), atol=1e-3, rtol=0)
    torch.testing.assert_close(x[there].std(0), torch.ones(bands), atol=1e-2, rtol=0)


def test_memory_or_files_the_numbers_are_equal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = class_folders(tmp_path / "tones")
    held = prepare(source, workers=2)
    monkeypatch.setattr(waves_room, "free_bytes", lambda: 0)
    lazy = prepare(source)
    assert any("do not fit" in note for note in lazy.notes) and held.facts == lazy.facts
    for ours, theirs in zip(held.train.epoch(0, 1, 4), lazy.train.epoch(0, 1, 4), strict=True):
        torch.testing.assert_close(ours.inputs, theirs.inputs, rtol=0, atol=0, equal_nan=True)


def table(root: Path, columns: list[str], rows: list[list[str]], name: str = "sounds.csv") -> Path:
    with (root / name).open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return root / name


def test_a_table_names_files_labels_speakers_and_parts(tmp_path: Path) -> None:
    rows = []
    for i in range(24):
        write(tmp_path / "clips" / f"{i}.wav", tone(400 if i % 2 else 1500, 0.1 + i / 200, seed=i))
        rows.append([f"clips/{i}.wav", "low" if i % 2 else "high", f"speaker{i % 6}"])
    path = table(tmp_path, ["path", "said", "speaker"], rows)
    found = prepare(path, target="said", group="speaker")
    speakers = [{rows[i][2] for i in getattr(found, part).rows.tolist()} for part in ("train", "valid", "test")]
    assert all(speakers) and sum(map(len, speakers)) == 6  # nobody speaks in two parts
    parts = [[*row, "test" if i < 4 else "train"] for i, row in enumerate(rows)]
    named = prepare(table(tmp_path, ["path", "said", "speaker", "split"], parts, "b.csv"), target="said")
    assert named.test is not None and named.test.rows.tolist() == [0, 1, 2, 3]


def test_transcripts_are_spelled_in_the_signs_of_training(tmp_path: Path) -> None:
    assert are_transcripts(["one two", "three one", "four"]) and not are_transcripts(["left", "right", "left"])
    task = task_of("text", ["ab a", "b  c"])
    assert task.classes == ("", "\N{REPLACEMENT CHARACTER}", " ", "a", "b", "c")
    rows = encode(["cab", "z a"], task).take(torch.arange(2)).tolist()
    assert rows == [[5, 3, 4], [1, 2, 3]]
    assert spelled([0, 5, 0, 3], task) == "ca"
    for i in range(12):
        write(tmp_path / f"{i}.wav", tone(400 + i, 0.2, seed=i))
    path = table(tmp_path, ["path", "text"], [[f"{i}.wav", f"a{'b' * i} c"] for i in range(12)])
    found = prepare(path, target="text")
    assert found.task.kind == "transcribe" and found.train.targets.pad == -1


def test_a_recording_comes_in_windows(tmp_path: Path) -> None:
    """Every sample is in a window, each window is a stretch of the whole, whatever the blocks it was read in."""
    path = write(tmp_path / "long.wav", tone(440, 3.03, seed=0), subtype="PCM_16")
    reader = SoundReader(RATE, length=4000, usual=2000, task=CLASSES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "_BLOCK", 700)
        pieces = list(reader.stream(path, rows=5))
    whole = torch.from_numpy(decode(path, RATE)).float() / FULL
    places = [place for piece in pieces for place in zip(*(piece.places or {}).values(), strict=True)]
    rows = [row[~row.isnan()] for piece in pieces for row in piece.inputs]
    seen = torch.zeros(len(whole))
    for row, (start, end, level) in zip(rows, places, strict=True):
        first, last = round(start * RATE), round(end * RATE)
        torch.testing.assert_close(row, whole[first:last], rtol=0, atol=0)
        assert level == pytest.approx(10 * np.log10((whole[first:last] ** 2).mean().item()), abs=0.1)
        seen[first:last] += 1
    assert seen.min() >= 1 and [len(row) for row in rows[:-1]] == [2000] * (len(rows) - 1)
    assert places[-1][1] == pytest.approx(3.03, abs=1e-3)


def test_another_rate_streams_as_it_is_read_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "long.wav", tone(440, 2.0, 44_100), 44_100, "PCM_16")
    reader = SoundReader(RATE, length=2000, usual=1600, task=CLASSES)
    header = decoding.read_header(path)
    windows = list(reader.recording(path, header, 1600, 1600))
    joined = np.concatenate([window.wave for window in windows])
    np.testing.assert_allclose(joined, decode(path, RATE), atol=2)


def test_a_reader_comes_back_from_plain_json(tmp_path: Path) -> None:
    reader = SoundReader(RATE, 4000, 2000, CLASSES)
    assert SoundReader.from_dict(reader.to_dict()) == reader


def test_bad_requests_are_one_line(tmp_path: Path) -> None:
    source = class_folders(tmp_path / "tones", each=3)
    for settings, says in (
        ({"group": "speaker"}, "no columns to group by"),
        ({"augment": "flip"}, "augmentation of sounds 'flip'"),
        ({"augment": "noise=loud"}, "strength of augmentation noise"),
        ({"time": "when"}, "cannot be divided by time"),
    ):
        with pytest.raises(GliaError, match=says):
            glia.train(source, runs=tmp_path, tell=lambda line: None, epochs=1, **settings)  # type: ignore[arg-type]
    with pytest.raises(GliaError, match="only sounds are transcribed"):
        prepare("iris", task="transcribe")
