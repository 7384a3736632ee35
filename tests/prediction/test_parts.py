"""Several processes that predict into one folder."""

from __future__ import annotations

import threading

import pytest
from skimage.io import imsave
from swin_umamba.common.errors import UserError
from swin_umamba.common.files import lock_folder
from swin_umamba.prediction.output_folder import OutputFolder
from swin_umamba.prediction.parts import Part, read_part

from .conftest import random_image


def _slurm(task, count, first, **others):
    values = {"ID": task, "COUNT": count, "MIN": first, **others}
    return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in values.items()}


@pytest.mark.parametrize(
    ("text", "environment", "part"),
    [
        ("2/8", {}, Part(2, 8)),
        ("1/1", {}, Part(1, 1)),
        ("2/8", _slurm(5, 6, 0), Part(2, 8)),
        ("auto", _slurm(0, 8, 0), Part(1, 8)),
        ("auto", _slurm(7, 8, 0), Part(8, 8)),
        ("auto", _slurm(3, 4, 1), Part(3, 4)),
        ("auto", _slurm(9, 3, 5, STEP=2), Part(3, 3)),
    ],
)
def test_what_is_a_part(text, environment, part):
    assert read_part(text, environment) == part


@pytest.mark.parametrize(
    ("text", "environment", "message"),
    [
        ("0/8", {}, "--part 0/8: must be auto, or a number and a count such as 2/8"),
        ("9/8", {}, "--part 9/8: must be"),
        ("1-8", {}, "--part 1-8: must be"),
        ("auto", {}, "this is no task of an array of Slurm's"),
        ("auto", _slurm("x", 8, 0), "this is no task"),
        ("auto", _slurm(9, 3, 1), "task 9 is none of 3 evenly spaced ones from 1 on"),
        ("auto", _slurm(6, 3, 5, STEP=2), "task 6 is none of 3"),
    ],
)
def test_what_is_none(text, environment, message):
    with pytest.raises(UserError, match=message):
        read_part(text, environment)


@pytest.mark.parametrize("count", [1, 3, 8])
def test_parts_are_the_whole(count):
    items = list(range(20))
    shares = [Part(number, count).of(items) for number in range(1, count + 1)]
    assert sorted(item for share in shares for item in share) == items
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.fixture
def images(tmp_path):
    (tmp_path / "images").mkdir()
    for number in range(7):
        imsave(tmp_path / "images" / f"{number}.png", random_image(40, 50 + number, seed=number), check_contrast=False)
    return tmp_path / "images"


def _files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".log" and path.name[0] != "."}


def test_parts_in_turn_give_the_files_of_one_run(make_checkpoint, predict, images, tmp_path, monkeypatch):
    checkpoint = make_checkpoint()
    assert predict(images, tmp_path / "whole", "--checkpoint", checkpoint)[0] == 0
    for task in (4, 3, 5):
        for name, value in _slurm(task, 3, 3).items():
            monkeypatch.setenv(name, value)
        code, out, _ = predict(images, tmp_path / "parts", "--checkpoint", checkpoint, "--part", "auto")
        assert code == 0
        assert f"of part {task - 2}/3" in out
    assert _files(tmp_path / "parts") == _files(tmp_path / "whole")
    code, _, err = predict(images, tmp_path / "parts", "--checkpoint", checkpoint, "--part", "2/3")
    assert code == 2
    assert "holds former predictions; go on with them by --skip-existing" in err
    code, out, _ = predict(images, tmp_path / "parts", "--checkpoint", checkpoint, "--skip-existing")
    assert "predicted 0, 7 were there already" in out


def test_parts_at_once_give_the_files_of_one_run(make_checkpoint, load, images, tmp_path):
    """In threads, each with a lock of its own, as processes have them."""
    from swin_umamba.prediction.input_cases import find_cases
    from swin_umamba.prediction.prediction import predict_cases

    checkpoint, (cases, _) = make_checkpoint(), find_cases(images, 1)
    record = {"settings": {"model": "one"}}

    def run(folder, part):
        output = OutputFolder(folder, part=part)
        with output.opened(record, {"plans.json": {}}, skip_existing=False):
            output.log.touch()
            everyone.wait(timeout=60)  # all are at work at the same time
            predict_cases(load(checkpoint), cases if part is None else part.of(cases), output)

    everyone = threading.Barrier(1)
    run(tmp_path / "whole", None)
    everyone = threading.Barrier(3)
    threads = [threading.Thread(target=run, args=(tmp_path / "parts", Part(k, 3))) for k in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert _files(tmp_path / "parts") == _files(tmp_path / "whole")
    assert len(_files(tmp_path / "parts")) == 9


def test_who_works_there_keeps_out_who_would_write_the_same(make_checkpoint, predict, images, tmp_path):
    out, options = tmp_path / "out", ["--checkpoint", make_checkpoint()]
    assert predict(images, out, *options, "--part", "1/2")[0] == 0
    with lock_folder(out, "", ".lock-2-of-2"):
        for said in (["--part", "2/2"], ["--part", "3/4"], ["--skip-existing"]):
            code, _, err = predict(images, out, *options, *said)
            assert code == 2
            assert f"another process is at work in {out}" in err
        # What a part leaves undone is not cleared away while it may be at work.
        (out / ".unfinished-2-of-2-x").mkdir()
        assert predict(images, out, *options, "--part", "1/2", "--skip-existing")[0] == 0
        assert (out / ".unfinished-2-of-2-x").exists()
    assert predict(images, out, *options, "--part", "2/2")[0] == 0
    assert not (out / ".unfinished-2-of-2-x").exists()
    assert len(list(out.glob("*.png"))) == 7


def test_a_part_goes_into_no_folder_of_other_predictions(make_checkpoint, predict, images, tmp_path):
    options = ["--checkpoint", make_checkpoint()]
    assert predict(images, tmp_path / "whole", *options)[0] == 0
    code, _, err = predict(images, tmp_path / "whole", *options, "--part", "1/2")
    assert (code, "holds former predictions" in err) == (2, True)
    assert predict(images, tmp_path / "out", *options, "--part", "1/2")[0] == 0
    code, _, err = predict(images, tmp_path / "out", "--checkpoint", make_checkpoint("b.pth", seed=1), "--part", "2/2")
    assert (code, "predictions with another model" in err) == (2, True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").touch()
    code, _, err = predict(images, tmp_path / "mine", *options, "--part", "1/2")
    assert (code, "is not empty and holds no former predictions" in err) == (2, True)


def test_a_case_without_all_channels_is_told_by_one_part(make_checkpoint, predict, tmp_path):
    (tmp_path / "images").mkdir()
    imsave(tmp_path / "images" / "a_0000.png", random_image(40, 50), check_contrast=False)
    codes = [
        predict(tmp_path / "images", tmp_path / "out", "--checkpoint", make_checkpoint(n_channels=2), "--part", part)[0]
        for part in ("1/2", "2/2")
    ]
    assert codes == [1, 0]
