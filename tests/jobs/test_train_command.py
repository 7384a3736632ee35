"""``python train.py``: a whole run, its results, and wrong input."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
import torch
from skimage.io import imread
from swin_umamba.commands import cli
from swin_umamba.commands.train import main
from swin_umamba.common.processors import has_bfloat16_units

ROOT = Path(__file__).resolve().parents[2]


def _contents(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_run_leaves_scores_figures_checkpoint_and_log(finished):
    folder, _ = finished
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["settings"]["epochs"] == 3
    assert metrics["training"]["patch_size"] == [32, 32]
    assert metrics["training"]["batch_size"] == 2
    assert len(list(folder.glob("nnUNet_results/*/*/fold_0/progress.png"))) == 1
    assert len(metrics["training"]["train_loss"]) == 3
    assert metrics["versions"]["torch"] == torch.__version__
    assert metrics["seconds"]["training"] > 0
    for name in ("loss_curve.png", "panel.png"):
        assert imread(folder / name).std() > 0
    assert "Epoch 2" in (folder / "train.log").read_text()


def test_the_precision_is_said_kept_and_shown(finished):
    folder, said = finished
    precision = "bfloat16" if has_bfloat16_units() else "float32"
    assert f" on cpu in {precision}: 3 epochs" in " ".join(said.split())
    assert json.loads((folder / "metrics.json").read_text())["precision"] == precision
    assert f'<th scope="row">precision</th><td>{precision}</td>' in (folder / "report.html").read_text()


def test_scores_are_those_of_the_predicted_files(finished, discs):
    folder, _ = finished
    held_out = json.loads((folder / "metrics.json").read_text())["held_out"]
    predictions = sorted((folder / "predictions").glob("*.png"))
    assert held_out["cases"] == len(predictions) == len(held_out["per_case"]) > 0
    means = []
    for path in predictions:
        prediction, reference = imread(path), imread(discs / "labelsTr" / path.name)
        for name, value in (("rim", 1), ("core", 2)):
            a, b = prediction == value, reference == value
            dice = 2 * (a & b).sum() / (a.sum() + b.sum())
            assert held_out["per_case"][path.stem]["dsc"][name] == pytest.approx(dice)
        means.append(np.mean(list(held_out["per_case"][path.stem]["dsc"].values())))
    assert held_out["dsc"]["mean"] == pytest.approx(np.mean(means))


def test_the_held_out_cases_were_not_trained_on(finished):
    folder, _ = finished
    splits = json.loads(next(folder.rglob("splits_final.json")).read_text())
    assert {path.stem for path in (folder / "predictions").glob("*.png")} == set(splits[0]["val"])
    assert not set(splits[0]["val"]) & set(splits[0]["train"])


def test_the_console_shows_phases_epochs_and_the_table_and_nothing_of_nnunet(finished):
    _, stdout = finished
    assert "epoch 3/3  loss " in stdout
    assert "left 0:00" in stdout
    assert "DSC" in stdout
    assert "NSD" in stdout
    assert "Isensee" not in stdout
    assert len(stdout.splitlines()) < 30


def test_the_checkpoint_alone_builds_the_network(finished):
    from swin_umamba.networks import SwinUMambaD

    folder, _ = finished
    checkpoint = torch.load(folder / "checkpoint.pth", weights_only=True)
    SwinUMambaD(in_channels=1, num_classes=3).load_state_dict(checkpoint["network_weights"])
    assert checkpoint["init_args"]["configuration"] == "2d"
    assert checkpoint["trainer_name"] == "nnUNetTrainerSwinUMambaDScratch"


def test_the_data_set_is_not_written_to(finished, make_data_set, discs, tmp_path):
    assert _contents(discs) == _contents(make_data_set(tmp_path))


def test_the_same_command_shows_the_finished_run_again(train_py, finished, discs, capfd, environment):
    folder, _ = finished
    before = _contents(folder)
    assert main([str(discs), *train_py.tiny, "--output", str(folder)]) == 0
    stdout = capfd.readouterr().out
    assert "this run has been done before; nothing was trained" in stdout
    assert "NSD" in stdout
    assert "checkpoint.pth" in stdout
    assert _contents(folder) == before


def test_a_finished_run_is_shown_by_other_measures(train_py, finished, discs, tmp_path, capfd, environment):
    folder = shutil.copytree(finished[0], tmp_path / "run", symlinks=True)
    assert "cases-nsd" in (folder / "report.html").read_text()
    words = [str(discs), *train_py.tiny, "--output", str(folder), "--metrics"]
    assert main([*words, "hd95,recall"]) == 0
    stdout = capfd.readouterr().out
    scores = json.loads((folder / "metrics.json").read_text())["held_out"]["further"]
    assert f"{scores['hd95']['mean']:.3f} ± {scores['hd95']['std']:.3f}" in stdout
    assert "recall" in stdout
    assert "NSD" not in stdout
    page = (folder / "report.html").read_text()
    assert f"<td>{scores['recall']['mean']:.3f}</td>" in page
    assert "cases-recall" in page
    assert "cases-nsd" not in page


def test_a_former_run_of_other_settings_is_not_overwritten(train_py, finished, discs, capsys):
    folder, _ = finished
    before = _contents(folder)
    assert main([str(discs), *train_py.tiny, "--seed", "7", "--output", str(folder)]) == 2
    error = capsys.readouterr().err
    assert "holds a former run: the settings differ (seed: 7 now, 0 in the former run); choose another folder" in error
    assert _contents(folder) == before


def test_a_run_that_has_not_ended_is_not_overwritten(tmp_path, discs, capsys):
    (tmp_path / "settings.json").write_text("{}")
    assert main([str(discs), "--output", str(tmp_path)]) == 2
    assert "holds a former run that has not ended; go on with it by --resume" in capsys.readouterr().err


def test_a_run_that_another_process_has_started_meanwhile_is_left_alone(
    tmp_path, discs, capsys, monkeypatch, environment
):
    from swin_umamba.jobs import training

    def other_process(settings, output):
        output.mkdir(exist_ok=True)
        (output / "settings.json").write_text("its settings")

    monkeypatch.setattr(training, "open_checked_dataset", other_process)
    assert main([str(discs), "--output", str(tmp_path / "run")]) == 2
    assert "exists and is not empty" in capsys.readouterr().err
    assert (tmp_path / "run" / "settings.json").read_text() == "its settings"


def test_a_finished_run_is_shown_from_a_folder_that_cannot_be_written_to(
    train_py, finished, discs, capfd, monkeypatch, environment
):
    def refuse(*args):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("filelock.FileLock", refuse)
    assert main([str(discs), *train_py.tiny, "--output", str(finished[0])]) == 0
    assert "nothing was trained" in capfd.readouterr().out


def test_resuming_with_other_settings_is_refused(finished, discs, capsys):
    folder, _ = finished
    assert main([str(discs), "--epochs", "4", "--resume", "--output", str(folder)]) == 2
    assert "the settings differ (epochs: 4 now, 3 in the former run); leave them out" in capsys.readouterr().err


@pytest.mark.parametrize("command", [[str(ROOT / "train.py")], ["-m", "swin_umamba.train"]])
def test_help_names_every_option(command):
    done = subprocess.run([sys.executable, *command, "--help"], capture_output=True, text=True, check=True)
    for option in (
        *("model", "epochs", "iterations", "batch-size", "patch-size", "device", "output", "resume"),
        *("seed", "learning-rate", "fold", "nsd-tolerance", "pretrained", "no-pretrained", "freeze-epochs", "devices"),
        *("amp", "checkpoint-epoch", "input-channels", "deep-supervision"),
    ):
        assert f"--{option}" in done.stdout


def test_the_console_script_has_the_same_command(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["train", "--help"])
    assert ended.value.code == 0
    assert "--patch-size" in capsys.readouterr().out


WRONG_NUMBERS = {
    "epochs": ["0", "-3", "many", "1.5", "9999999"],
    "iterations": ["0"],
    "batch-size": ["0", "100000"],
    "learning-rate": ["0", "-1", "nan", "inf", "2"],
    "fold": ["-1", "some"],
    "seed": ["-1", str(2**32)],
    "devices": ["0", "two"],
    "freeze-epochs": ["-1"],
    "amp": ["on"],
    "nsd-tolerance": ["0", "nan"],
    "model": ["unet"],
    "metrics": ["hd", "dsc,dsc", ","],
}


@pytest.mark.parametrize(("option", "value"), [(o, v) for o, values in WRONG_NUMBERS.items() for v in values])
def test_a_wrong_option_is_refused_in_one_line(option, value, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main([f"--{option}", value])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"--{option}" in error
    assert value in error
    assert list(tmp_path.iterdir()) == []


WRONG_INPUT = {
    "no data set": (["no/where"], "is not a folder"),
    "an id that is not there": (["702"], "702 is not a folder, and cannot be looked for by id"),
    "a folder that is no data set": (["."], "is not an nnU-Net raw data set"),
    "no weights": (["--pretrained", "gone.pth"], "--pretrained gone.pth: there is no such file"),
    "weights for a baseline": (["--model", "unetr", "--no-pretrained"], "unetr has no VMamba encoder"),
    "nothing to freeze": (["--freeze-epochs", "3"], "--freeze-epochs 3: this training starts from random weights"),
    "one device for two": (["--device", "cuda:0", "--devices", "2"], "with --devices 2 say --device cuda"),
    "more GPUs than there are": (["--device", "cuda", "--devices", "99"], "--device"),
    "no GPU": (["--device", "cuda:99"], "--device cuda:99: "),
    "unknown device": (["--device", "gpu"], "must be auto, cpu, cuda or cuda:N"),
    "nothing to resume": (["--resume"], "holds no run"),
    "a fold the sample has not": (["--fold", "3"], "the sample has one split"),
}


@pytest.mark.parametrize("case", WRONG_INPUT)
def test_wrong_input_is_refused_in_one_line(case, capsys, tmp_path, monkeypatch, environment):
    monkeypatch.chdir(tmp_path)
    arguments, reason = WRONG_INPUT[case]
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert reason in captured.err
    assert captured.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_bad_data_set_ends_the_command_with_one_line_and_exit_code_2(train_py, make_data_set, tmp_path):
    folder = make_data_set(tmp_path)
    (folder / "imagesTr" / "disc_tr0_0000.png").write_bytes(b"no image")
    done = train_py.run(folder, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "cannot read image" in done.stderr
    assert not (tmp_path / "results").exists()


def test_processes_that_cannot_be_joined_are_a_failed_run(discs, tmp_path, monkeypatch, environment, capfd):
    def fail(self, device):
        raise RuntimeError("NCCL error")

    monkeypatch.setattr("swin_umamba.common.processes.Processes.join", fail)
    output = tmp_path / "run"
    assert main([str(discs), "--device", "cpu", "--output", str(output)]) == 1
    error = capfd.readouterr().err
    assert f"failed with RuntimeError: NCCL error (details in {output / 'train.log'})" in error
    assert error.count("\n") == 1
    assert "in fail" in (output / "train.log").read_text()


def test_an_output_that_cannot_be_written_is_found_before_the_cases_are_read(make_data_set, tmp_path, capsys):
    folder = make_data_set(tmp_path)
    (folder / "imagesTr" / "disc_tr0_0000.png").write_bytes(b"no image")
    (tmp_path / "notes.txt").write_text("mine")
    assert main([str(folder), "--output", str(tmp_path / "notes.txt" / "run")]) == 2
    assert "cannot write to the results folder" in capsys.readouterr().err


def test_an_output_that_is_no_empty_folder_is_refused(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    assert main(["--output", str(tmp_path)]) == 2
    assert "exists and is not empty" in capsys.readouterr().err


def test_an_output_inside_the_data_set_is_refused(make_data_set, tmp_path, capsys, environment):
    folder = make_data_set(tmp_path)
    assert main([str(folder), "--output", str(folder / "results")]) == 2
    assert "lies inside the data set" in capsys.readouterr().err


def test_an_output_inside_a_linked_data_set_is_refused(make_data_set, tmp_path, capsys, environment):
    folder = make_data_set(tmp_path)
    link = tmp_path / "Dataset108_Grey"
    link.symlink_to(folder, target_is_directory=True)
    for output in (folder / "results", link / "results"):
        assert main([str(link), "--output", str(output)]) == 2
        assert "lies inside the data set" in capsys.readouterr().err


@pytest.mark.slow
def test_swin_umamba_on_volumes_with_test_cases_of_their_own(train_py, make_data_set, tmp_path):
    folder = make_data_set(tmp_path, held_out=2)
    for path in folder.glob("*T[rs]/*.png"):
        volume = SimpleITK.GetImageFromArray(np.stack([imread(path)] * 3))
        volume.SetSpacing((0.5, 0.5, 4))
        SimpleITK.WriteImage(volume, str(path.with_suffix(".nii.gz")))
        path.unlink()
    description = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps({**description, "file_ending": ".nii.gz"}))

    arguments = [*train_py.tiny, "--model", "swin-umamba", "--fold", "all", "--epochs", "1", "--output", "run"]
    done = train_py.run(folder, *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert sorted(metrics["held_out"]["per_case"]) == ["disc_ts0", "disc_ts1"]
    assert metrics["training"]["trainer"] == "nnUNetTrainerSwinUMambaScratch"
    prediction = SimpleITK.ReadImage(str(tmp_path / "run" / "predictions" / "disc_ts0.nii.gz"))
    assert prediction.GetSize() == (40, 44, 3)
    assert prediction.GetSpacing() == (0.5, 0.5, 4)


@pytest.mark.slow
def test_the_sample_reaches_a_dice_of_080_within_twelve_minutes(train_py, tmp_path):
    done = train_py.run("--device", "cpu", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (metrics,) = tmp_path.glob("results/*/metrics.json")
    metrics = json.loads(metrics.read_text())
    assert metrics["held_out"]["dsc"]["mean"] >= 0.80
    assert metrics["seconds"]["total"] < 12 * 60
