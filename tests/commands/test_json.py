"""``--json``: one line of JSON and nothing else on the standard output, of every command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from skimage.io import imsave
from swin_umamba.commands import cli
from swin_umamba.common.exit_codes import execute
from swin_umamba.common.summary import note
from swin_umamba.complexity import Complexity, counting
from swin_umamba.evaluation.measure_names import MEASURES

from tests.comparison.conftest import pretender  # noqa: F401 - fixtures
from tests.prediction.conftest import make_checkpoint, random_image, tiny_trainer  # noqa: F401
from tests.prepare.conftest import amos  # noqa: F401
from tests.pretraining.conftest import TINY_NETWORK, make_images  # noqa: F401


@pytest.fixture
def run(capfd):
    """A function that runs a command and returns its exit code, its summary, and what else it printed."""

    def run(*words: object, code: int = 0) -> tuple[dict, str]:
        assert cli.main([*map(str, words), "--json"]) == code
        out, err = capfd.readouterr()
        assert out.count("\n") == 1
        said = json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
        assert (said["command"], said["exit_code"]) == (words[0], code)
        assert (said["error"] is None) == (code == 0)
        assert said["seconds"] >= 0
        return said, err

    return run


def _make_pictures(folder: Path) -> None:
    for name in ("images", "masks"):
        (folder / name).mkdir()
    for number in range(3):
        imsave(folder / "images" / f"p{number}.png", random_image(40, 50, seed=number), check_contrast=False)
        mask = np.zeros((40, 50), np.uint8)
        mask[10:20, 10 : 20 + number] = 255
        imsave(folder / "masks" / f"p{number}_mask.png", mask, check_contrast=False)


def test_prepare_folder(run, tmp_path):
    _make_pictures(tmp_path)
    target = tmp_path / "Dataset501_X"
    said, err = run("prepare", "folder", tmp_path / "images", tmp_path / "masks", target)
    assert said["dataset"] == str(target)
    assert said["labels"] == {"foreground": 1}
    assert (said["pairs"], said["channels"], said["file_ending"]) == (3, 1, ".png")
    assert said["files"] == {"written": len(list(target.glob("*Tr/*"))), "there": 0}
    assert Path(said["contact_sheet"]).is_file()
    assert "found 3 pairs" in err
    said, err = run("prepare", "folder", tmp_path / "images", tmp_path / "none", target, code=2)
    assert said["error"].startswith(f"{tmp_path / 'none'} is not a folder")
    assert f"swin-umamba prepare: error: {said['error']}" in err


def test_prepare_a_download(run, amos, tmp_path):  # noqa: F811
    said, _ = run("prepare", "abdomen-mr", amos, tmp_path / "raw")
    assert Path(said["dataset"]) == tmp_path / "raw" / "Dataset702_AbdomenMR"
    assert all(count["found"] >= 0 < count["paper"] for count in said["counts"].values())


def test_train_and_its_page(run, finished, discs, environment):
    folder, _ = finished
    settings = json.loads((folder / "settings.json").read_text())
    words = [discs, "--epochs", settings["epochs"], "--iterations", settings["iterations"], "--output", folder]
    words += ["--batch-size", settings["batch_size"], "--patch-size", *settings["patch_size"], "--device", "cpu"]
    said, err = run("train", *words)
    metrics = json.loads((folder / "metrics.json").read_text())
    assert said["held_out"]["dsc"]["mean"] == metrics["held_out"]["dsc"]["mean"]
    assert said["held_out"]["cases"] == metrics["held_out"]["cases"]
    assert said["held_out"].keys() == {"cases", *MEASURES}
    assert said["output"] == str(folder)
    assert Path(said["checkpoint"]).is_file()
    assert "this run has been done before" in err
    said, _ = run("report", folder, "--output", folder.parent / "page.html")
    assert said["page"] == str(folder.parent / "page.html")


@pytest.mark.slow
def test_predict_evaluate_and_export(run, make_checkpoint, tmp_path):  # noqa: F811
    checkpoint, images = make_checkpoint(), tmp_path / "images"
    images.mkdir()
    imsave(images / "a.png", random_image(40, 50), check_contrast=False)
    said, err = run("predict", images, tmp_path / "out", "--checkpoint", checkpoint, "--device", "cpu")
    assert (said["predicted"], said["failed"], said["device"]) == (["a"], {}, "cpu")
    assert "predicted 1" in err
    (images / "b.png").write_text("no image")
    words = ("predict", images, tmp_path / "two", "--checkpoint", checkpoint, "--device", "cpu")
    said, _ = run(*words, code=1)
    assert (said["predicted"], list(said["failed"])) == (["a"], ["b"])
    assert "1 of 2 images could not be predicted" in said["error"]
    (tmp_path / "reference").mkdir()
    (tmp_path / "reference" / "a.png").write_bytes((tmp_path / "out" / "a.png").read_bytes())
    said, err = run("evaluate", tmp_path / "reference", tmp_path / "out", "--metric", "labels")
    assert (said["n_cases"], said["dsc"]["mean"], said["dsc"]["std"]) == (1, 1.0, 0.0)
    assert "DSC" in err
    said, _ = run("export", checkpoint, tmp_path / "exported", "--format", "pt2")
    assert said["output"] == str(tmp_path / "exported")
    assert said["model"] == json.loads((tmp_path / "exported" / "model.json").read_text())
    assert 0 <= said["largest_difference"] < 1e-3


def test_pretrain(run, make_images, tmp_path):  # noqa: F811
    images = make_images(tmp_path / "stripes", training=4, validation=2)
    words = [images, "--output", tmp_path / "out", "--epochs", "1", "--batch-size", "4", *TINY_NETWORK]
    for _ in range(2):
        said, _ = run("pretrain", *words)
        assert Path(said["weights"]).is_file()
        assert Path(said["averaged_weights"]).is_file()
        assert said["epochs"] == json.loads((tmp_path / "out" / "metrics.json").read_text())["history"]


def test_compare(run, pretender, make_data_set, tmp_path):  # noqa: F811
    pretender.failures["segresnet"] = "it fell over"
    discs = make_data_set(tmp_path, training=6, held_out=4)
    words = [discs, "--models", "nnunet,segresnet", "--epochs", "2", "--iterations", "2", "--batch-size", "2"]
    words += ["--patch-size", "32", "32", "--device", "cpu", "--output", tmp_path / "out"]
    said, err = run("compare", *words, code=1)
    record = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert [(row["name"], row["state"]) for row in said["systems"]] == [("nnunet", "finished"), ("segresnet", "failed")]
    assert said["systems"][0]["scores"]["dsc"]["mean"] == record["systems"][0]["scores"]["dsc"]["mean"]
    assert said["failed"] == {"segresnet": "it fell over"}
    assert "results in" in err


def test_table2(run, monkeypatch):
    from swin_umamba.jobs import table2

    monkeypatch.setattr(table2, "build_model", lambda *_: None)
    monkeypatch.setattr(counting, "count_complexity", lambda *_: Complexity(1_500_000, 2_250_000, 250_000, 4_250_000))
    said, _ = run("table2", "--complexity")
    assert said["systems"]["umamba-enc"]["parameters"] == 1_500_000


def test_nnunet_path(run):
    said, err = run("nnunet-path")
    assert (Path(said["path"]).name, err.strip()) == ("ext_trainer", said["path"])


def test_all_commands_are_here():
    source = Path(__file__).read_text(encoding="utf-8")
    assert [name for name in cli.COMMANDS if f'run("{name}"' not in source and f'("{name}", ' not in source] == []


def test_it_may_stand_before_the_command(capfd):
    assert cli.main(["--json", "nnunet-path"]) == 0
    assert json.loads(capfd.readouterr().out)["command"] == "nnunet-path"


def test_what_other_processes_print_goes_elsewhere(capfd):
    def work(_: None) -> None:
        print("of Python")
        os.write(1, b"of C\n")
        subprocess.run([sys.executable, "-c", "print('of a child')"], check=True)
        note(value=float("nan"), values=(1.5, float("inf")), path=Path("/a"))

    assert execute(work, None, "prog", summary_of="work") == 0
    out, err = capfd.readouterr()
    said = json.loads(out)
    assert (said["value"], said["values"], said["path"]) == (None, [1.5, None], "/a")
    assert all(text in err for text in ("of Python", "of C", "of a child"))


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "cp1252"])
def test_names_of_any_letters_and_none(encoding):
    names = ["M\u00fcller \u00df", "\u817e", "a\udcff"]  # the last as Python reads bytes that are no UTF-8
    program = "from swin_umamba.common import exit_codes, summary\n"
    program += f"exit_codes.execute(lambda names: summary.note(names=names), {names!a}, 'prog', summary_of='work')"
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)
    assert json.loads(done.stdout)["names"] == names


def test_of_several_processes_the_first_alone_speaks(capfd, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    assert execute(lambda _: print("x"), None, "prog", summary_of="work") == 0
    assert capfd.readouterr().out == ""


def test_a_process_that_failed_gives_its_code(capfd):
    def work(_: None) -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        execute(work, None, "prog", summary_of="work")
    said = json.loads(capfd.readouterr().out)
    assert (said["command"], said["exit_code"]) == ("work", 3)


@pytest.mark.slow
def test_a_training_in_two_processes(train_py, discs, tmp_path):
    done = train_py.run(discs, *train_py.tiny, "--devices", "2", "--output", "run", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["output"] == str(tmp_path / "run")
    assert "finished in" in done.stderr
