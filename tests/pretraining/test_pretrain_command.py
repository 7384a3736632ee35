"""``python -m swin_umamba.pretrain``: it learns, resumes, and its weights start both Swin-UMambas."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time

import pytest
import torch
from swin_umamba.commands import cli
from swin_umamba.commands.pretrain import main
from swin_umamba.common.files import lock_folder
from swin_umamba.networks import VMambaTiny
from swin_umamba.trainers.precision import precision_name

QUICK = ("--epochs", "3", "--batch-size", "8", "--augmentation", "light")


def _read(path):
    return torch.load(path, weights_only=True)


def _history(folder):
    return json.loads((folder / "metrics.json").read_text())["history"]


@pytest.fixture(scope="module")
def quick(make_images, tmp_path_factory):
    """A function that starts a short run on 24 images, by ``main`` in this process."""
    data = make_images(tmp_path_factory.mktemp("quick") / "images")

    def start(tiny_network, output, *arguments):
        return main([str(data), *tiny_network, *QUICK, "--output", str(output), *arguments])

    start.data = data
    return start


@pytest.fixture(scope="module")
def finished(quick, tiny_network, tmp_path_factory):
    output = tmp_path_factory.mktemp("finished") / "run"
    assert quick(tiny_network, output) == 0
    return output


def test_it_learns_what_separates_the_classes(stripes, tiny_network, tmp_path, capsys):
    options = ("--epochs", "10", "--batch-size", "16", "--learning-rate", "3e-3", "--augmentation", "light")
    assert main([str(stripes), *tiny_network, *options, "--output", str(tmp_path / "run")]) == 0
    history = json.loads((tmp_path / "run" / "metrics.json").read_text())["history"]
    assert history[0]["accuracy"] < 0.9
    assert history[-1]["accuracy"] > 0.9
    assert history[-1]["accuracy_ema"] > 0.9
    assert "epoch 10/10  loss " in capsys.readouterr().out


def test_the_weights_are_plain_tensors_under_the_key_model(finished):
    last = _history(finished)[-1]
    for name, accuracy in (("vmamba_tiny.pth", last["accuracy"]), ("vmamba_tiny_ema.pth", last["accuracy_ema"])):
        content = _read(finished / name)
        assert content["model"]["patch_embed.proj.weight"].shape == (8, 3, 4, 4)
        assert content["model"]["head.weight"].shape == (2, 64)
        assert content["classes"] == ["columns", "rows"]
        assert (content["epoch"], content["accuracy"]) == (3, accuracy)
    last, averaged = (_read(finished / name)["model"] for name in ("vmamba_tiny.pth", "vmamba_tiny_ema.pth"))
    assert any(not torch.equal(last[name], averaged[name]) for name in last)


def test_interrupted_and_resumed_it_ends_like_an_uninterrupted_run(
    quick, finished, tiny_network, tmp_path, monkeypatch, capsys
):
    from swin_umamba.pretraining.training import Pretraining

    validate, calls = Pretraining._validate, []

    def interrupt(self, network):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return validate(self, network)

    monkeypatch.setattr(Pretraining, "_validate", interrupt)
    assert quick(tiny_network, tmp_path / "run") == 130
    monkeypatch.undo()
    assert "go on with the same command and --resume" in capsys.readouterr().out
    assert not (tmp_path / "run" / "vmamba_tiny.pth").exists()

    assert quick(tiny_network, tmp_path / "run", "--resume") == 0
    assert "resumed after epoch 1 of 3" in capsys.readouterr().out
    for name in ("vmamba_tiny.pth", "vmamba_tiny_ema.pth"):
        once, twice = (_read(folder / name)["model"] for folder in (finished, tmp_path / "run"))
        assert all(torch.equal(once[key], twice[key]) for key in once)
    histories = [_history(folder) for folder in (finished, tmp_path / "run")]
    assert [entry.pop("seconds") > 0 for entry in (*histories[0], *histories[1])] == 6 * [True]
    assert histories[0] == histories[1]


@pytest.mark.parametrize(
    ("said", "precision"), [(("--amp", "off"), "float32"), (("--amp", "bfloat16"), "bfloat16"), ((), None)]
)
def test_the_precision_is_said_and_kept(quick, tiny_network, tmp_path, capsys, monkeypatch, said, precision):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    seen, forward = set(), VMambaTiny.forward

    def watched(self, x):
        logits = forward(self, x)
        seen.add(precision_name(logits.dtype))
        return logits

    monkeypatch.setattr(VMambaTiny, "forward", watched)
    precision = precision or "bfloat16"
    assert quick(tiny_network, tmp_path / "run", "--epochs", "1", *said, "--device", "cpu") == 0
    assert seen == {precision}
    assert f"training VMamba-Tiny on cpu in {precision}" in capsys.readouterr().out
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["precision"] == precision


@pytest.mark.slow
def test_killed_while_training_it_goes_on(quick, finished, tiny_network, tmp_path):
    command = [sys.executable, "-m", "swin_umamba.pretrain", str(quick.data), *tiny_network, *QUICK, "--output", "run"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment)
    try:
        while not (tmp_path / "run" / "checkpoint_latest.pth").exists():
            assert process.poll() is None
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
    subprocess.run([*command, "--resume"], cwd=tmp_path, env=environment, check=True)
    once, twice = (_read(folder / "vmamba_tiny.pth")["model"] for folder in (finished, tmp_path / "run"))
    assert all(torch.equal(once[key], twice[key]) for key in once)


def test_worker_processes_change_nothing(quick, finished, tiny_network, tmp_path):
    assert quick(tiny_network, tmp_path / "run", "--workers", "1") == 0
    once, twice = (_read(folder / "vmamba_tiny.pth")["model"] for folder in (finished, tmp_path / "run"))
    assert all(torch.equal(once[key], twice[key]) for key in once)


@pytest.mark.slow
def test_two_processes_train_as_one(quick, tiny_network, tmp_path):
    """Without mixing and stochastic depth, whose random numbers differ from process to process."""
    options = (*tiny_network, *QUICK, "--no-mixing", "--drop-path", "0")
    assert main([str(quick.data), *options, "--output", str(tmp_path / "one")]) == 0
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launch, "-m", "swin_umamba.pretrain", str(quick.data), *options, "--output", "two"]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("epoch 3/3") == 1
    one, two = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("one", "two"))
    assert (one["processes"], two["processes"]) == (1, 2)
    assert two["history"][0]["train_loss"] == pytest.approx(one["history"][0]["train_loss"], rel=1e-5)
    for entries in zip(one["history"], two["history"], strict=True):
        assert entries[1]["validation_loss"] == pytest.approx(entries[0]["validation_loss"], rel=1e-3)

    wrong = subprocess.run(
        [*command[:-1], "other", "--batch-size", "7"],
        cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert wrong.stderr.count("a batch of 7 images cannot be shared equally by 2 processes") == 1
    assert not (tmp_path / "other").exists()


def test_resuming_a_finished_run_writes_its_weights_again(quick, finished, tiny_network, capsys):
    before = (finished / "vmamba_tiny.pth").read_bytes()
    (finished / "vmamba_tiny.pth").unlink()
    assert main([str(quick.data), "--output", str(finished), "--resume", "--device", "cpu"]) == 0
    assert "resumed after epoch 3 of 3" in capsys.readouterr().out
    assert (finished / "vmamba_tiny.pth").read_bytes() == before


@pytest.mark.parametrize("name", ["swin-umamba", "swin-umamba-d"])
@pytest.mark.parametrize("file", ["vmamba_tiny.pth", "vmamba_tiny_ema.pth"])
def test_the_weights_start_both_networks_with_the_whole_encoder(finished, name, file):
    from swin_umamba import SwinUMamba, SwinUMambaD, load_pretrained

    # The patch embedding of Swin-UMamba has 2×2 patches of its stem's channels, the classifier's 4×4 of the image's.
    whole = name == "swin-umamba-d"
    network = (SwinUMambaD if whole else SwinUMamba)(1, 2, embed_dim=8, depths=(1, 1, 1, 1))
    fresh = {key: value.clone() for key, value in network.vssm_encoder.state_dict().items()}
    report = load_pretrained(network, finished / file, "sum")
    own = sum(fresh[key].numel() for key in fresh if key.startswith("patch_embed.") and not whole)
    assert report.encoder_coverage == pytest.approx(1 - own / sum(value.numel() for value in fresh.values()))
    weights = _read(finished / file)["model"]
    for key, value in network.vssm_encoder.state_dict().items():
        source = key
        if key.startswith("downsamples."):
            _, stage, rest = key.split(".", 2)
            source = f"layers.{stage}.downsample.{rest}"
        expected = weights[source]
        if key.startswith("patch_embed.") and not whole:
            expected = fresh[key]
        elif key == "patch_embed.proj.weight":
            expected = expected.sum(1, keepdim=True)
            torch.testing.assert_close(value, expected)
            continue
        assert torch.equal(value, expected), key


@pytest.fixture
def unfinished(finished, tmp_path):
    """A run after its last epoch, before its weights and metrics were written."""
    folder = tmp_path / "unfinished"
    folder.mkdir()
    for name in ("settings.json", "checkpoint_latest.pth"):
        (folder / name).write_bytes((finished / name).read_bytes())
    return folder


def _contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def occupied(monkeypatch):
    """The devices that the command has taken."""
    from swin_umamba.jobs import pretraining

    devices, choose = [], pretraining.choose_device_of_process

    def take(name, *others, **options):
        devices.append(name)
        return choose(name, *others, **options)

    monkeypatch.setattr(pretraining, "choose_device_of_process", take)
    return devices


def test_a_former_run_is_not_overwritten(quick, unfinished, tiny_network, capsys):
    before = _contents(unfinished)
    assert quick(tiny_network, unfinished) == 2
    assert "holds a former run; go on with it by --resume" in capsys.readouterr().err
    (unfinished / ".lock").unlink()
    assert _contents(unfinished) == before


def test_the_same_command_shows_the_finished_run_again(quick, finished, tiny_network, capsys, occupied):
    before = _contents(finished)
    assert quick(tiny_network, finished) == 0
    shown = capsys.readouterr().out
    last = _history(finished)[-1]
    assert "this run has been done before; nothing was trained" in shown
    assert f"after 3 epochs: validation loss {last['validation_loss']:.3f}, accuracy {last['accuracy']:.1%}" in shown
    assert str(finished / "vmamba_tiny.pth") in shown
    assert _contents(finished) == before
    assert occupied == []


def test_a_finished_run_of_other_settings_is_not_overwritten(quick, finished, tiny_network, capsys):
    before = _contents(finished)
    assert quick(tiny_network, finished, "--seed", "7") == 2
    error = capsys.readouterr().err
    assert "holds a former run: the settings differ (seed: 7 now, 0 in the former run); choose another folder" in error
    assert _contents(finished) == before


def test_damaged_metrics_of_a_finished_run_are_named(quick, finished, unfinished, tiny_network, capsys):
    (unfinished / "vmamba_tiny.pth").touch()
    for content in ("{", "[]", "{}", '{"history": []}', '{"history": [{"epoch": "last"}]}'):
        (unfinished / "metrics.json").write_text(content)
        assert quick(tiny_network, unfinished) == 2
        error = capsys.readouterr().err
        assert f"{unfinished / 'metrics.json'} is damaged: " in error
        assert len(error.splitlines()) == 1


def test_settings_are_checked_before_the_device_is_taken(quick, finished, tiny_network, tmp_path, capsys, occupied):
    assert quick(tiny_network, tmp_path / "run", "--warmup-epochs", "4") == 2
    assert quick(tiny_network, finished, "--resume", "--epochs", "9") == 2
    assert occupied == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": "8"}, "batch_size must be a whole number, got '8'"),
        ({"epochs": -1}, "epochs must be between 1 and 100000, got -1"),
        ({"image_size": 100}, "image_size must be a multiple of 32, got 100"),
        ({"embed_dim": 7}, "embed_dim must be even, got 7"),
        ({"mixing": 1}, "mixing must be true or false, got 1"),
        ({"drop_path": -0.5}, "drop_path must be above 0 and at most 1, or 0, got -0.5"),
        ({"depths": [2, 2]}, "depths must be 4 values, got [2, 2]"),
        ({"learning_rate": "fast"}, "learning_rate must be a number, got 'fast'"),
        ({"data": None}, "data must be text, got None"),
    ],
)
def test_wrong_settings_of_the_run_to_resume_are_named(quick, unfinished, tiny_network, capsys, change, message):
    path = unfinished / "settings.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    assert quick(tiny_network, unfinished, "--resume") == 2
    error = capsys.readouterr().err
    assert f"cannot read the settings of the former run in {path}: {message}" in error
    assert len(error.splitlines()) == 1


def test_resuming_with_other_settings_or_images_is_refused(quick, finished, tiny_network, capsys):
    assert quick(tiny_network, finished, "--resume", "--epochs", "9") == 2
    assert "the settings differ (epochs: 9 now, 3 in the former run); leave it out" in capsys.readouterr().err
    assert main([str(quick.data / "train"), "--output", str(finished), "--resume"]) == 2
    assert f"was trained on {quick.data}, not on {quick.data / 'train'}" in capsys.readouterr().err
    added = quick.data / "train" / "rows" / "added.png"
    added.write_bytes((quick.data / "train" / "rows" / "000.png").read_bytes())
    try:
        assert quick(tiny_network, finished, "--resume") == 2
    finally:
        added.unlink()
    assert "was trained on other images" in capsys.readouterr().err


WRONG_STATES = {
    "a list": (lambda state: [1], "holds an object of the type list"),
    "no network": (lambda state: state.pop("network") and state, "has no 'network'"),
    "another network": (
        lambda state: {**state, "network": {"a": torch.ones(1)}},
        "does not fit this run",
    ),
    "no history": (lambda state: {**state, "history": [1]}, "its history is no list of epochs"),
    "a momentum": (lambda state: {**state, "optimizer": with_another_momentum(state)}, "state is of other parameters"),
}


def with_another_momentum(state):
    moments = {0: {**state["optimizer"]["state"][0], "exp_avg": torch.zeros(5)}}
    return {**state["optimizer"], "state": {**state["optimizer"]["state"], **moments}}


@pytest.mark.parametrize("kind", WRONG_STATES)
def test_a_checkpoint_of_wrong_content_is_named(quick, finished, tiny_network, tmp_path, capsys, kind):
    change, message = WRONG_STATES[kind]
    run = shutil.copytree(finished, tmp_path / "run")
    (run / "metrics.json").unlink()
    path = run / "checkpoint_latest.pth"
    torch.save(change(torch.load(path, weights_only=True)), path)
    assert quick(tiny_network, run, "--resume") == 2
    error = capsys.readouterr().err
    assert str(path) in error
    assert message in " ".join(error.split())


def test_a_damaged_checkpoint_is_named(quick, finished, tiny_network, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "settings.json").write_bytes((finished / "settings.json").read_bytes())
    (tmp_path / "run" / "checkpoint_latest.pth").write_bytes(b"damaged")
    assert quick(tiny_network, tmp_path / "run", "--resume") == 2
    assert "checkpoint_latest.pth is a text file ('damaged' …), not a checkpoint" in capsys.readouterr().err


def test_an_unreadable_image_is_named_and_nothing_is_written(make_images, tiny_network, tmp_path, capsys):
    root = make_images(tmp_path / "images")
    (root / "train" / "rows" / "003.png").write_bytes(b"damaged")
    assert main([str(root), *tiny_network, *QUICK, "--output", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert "003.png cannot be read" in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("workers", ["0", "1"])
def test_an_image_damaged_behind_its_header_stops_the_run_by_name(make_images, tiny_network, tmp_path, capsys, workers):
    root = make_images(tmp_path / "images", training=4)
    damaged = root / "train" / "rows" / "003.png"
    damaged.write_bytes(damaged.read_bytes()[:900])
    options = (*QUICK, "--output", str(tmp_path / "run"), "--workers", workers)
    assert main([str(root), *tiny_network, *options]) == 1
    error = capsys.readouterr().err
    assert "003.png cannot be read" in error
    assert "repair or replace the file, and go on with --resume" in error
    assert len(error.splitlines()) == 1


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_its_checkpoint(
    quick, tiny_network, tmp_path, monkeypatch, capsys
):
    from swin_umamba import VMambaTiny

    forward, calls = VMambaTiny.forward, []

    def diverge(self, x):
        calls.append(1)
        return forward(self, x) * (float("nan") if len(calls) == 8 else 1)

    monkeypatch.setattr(VMambaTiny, "forward", diverge)
    assert quick(tiny_network, tmp_path / "run") == 1
    error = capsys.readouterr().err
    assert "training stopped because the loss became nan" in error
    assert "in epoch 2" in error
    assert len(error.splitlines()) == 1
    assert len(_read(tmp_path / "run" / "checkpoint_latest.pth")["history"]) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--batch-size", "25"), "--batch-size 25 is more than the 24 images for training"),
        (("--image-size", "100"), "must be a multiple of 32, got 100"),
        (("--image-size", "64"), "images are smaller than the 64×64 pixels"),
        (("--embed-dim", "7"), "must be even, got 7"),
        (("--warmup-epochs", "4"), "--warmup-epochs 4 is longer than the training of 3 epochs"),
        (("--learning-rate", "0"), "must be above 0"),
        (("--drop-path", "-1"), "must be above 0"),
        (("--augmentation", "some"), "invalid choice"),
        (("--device", "tpu"), "must be auto, cpu, cuda or cuda:N"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(quick, tiny_network, tmp_path, capsys, arguments, message):
    try:
        code = quick(tiny_network, tmp_path / "run", *arguments)
    except SystemExit as ended:
        code = ended.code
    assert code == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_an_output_that_cannot_be_written_is_found_before_the_images_are_read(
    make_images, tiny_network, tmp_path, capsys
):
    root = make_images(tmp_path / "images")
    (root / "train" / "rows" / "003.png").write_bytes(b"damaged")
    (tmp_path / "notes.txt").write_text("mine")
    output = tmp_path / "notes.txt" / "run"
    assert main([str(root), *tiny_network, *QUICK, "--output", str(output)]) == 2
    error = capsys.readouterr().err
    assert f"cannot write to the results folder {output}" in error
    assert len(error.splitlines()) == 1


def test_an_unforeseen_error_is_one_line_with_its_traceback_in_the_log(
    quick, tiny_network, tmp_path, monkeypatch, capsys
):
    from swin_umamba.pretraining.training import Pretraining

    def fail(*_):
        raise MemoryError("9 GiB\nwanted")

    monkeypatch.setattr(Pretraining, "_validate", fail)
    assert quick(tiny_network, tmp_path / "run") == 1
    error = capsys.readouterr().err
    log = tmp_path / "run" / "pretrain.log"
    assert f"failed with MemoryError: 9 GiB wanted (details in {log})" in error
    assert len(error.splitlines()) == 1
    assert "in _validate" not in error
    assert "Traceback" in log.read_text()


def test_processes_that_cannot_be_joined_are_a_failed_run(quick, tiny_network, tmp_path, monkeypatch, capsys):
    from swin_umamba.common.processes import Processes

    def fail(self, device):
        raise RuntimeError("NCCL error")

    monkeypatch.setattr(Processes, "join", fail)
    assert quick(tiny_network, tmp_path / "run") == 1
    assert "failed with RuntimeError: NCCL error" in capsys.readouterr().err


@pytest.mark.parametrize("resume", [(), ("--resume",)])
def test_a_folder_in_which_another_process_pretrains_is_left_alone(quick, unfinished, tiny_network, capsys, resume):
    before = (unfinished / "checkpoint_latest.pth").stat().st_mtime_ns
    with lock_folder(unfinished, "wait"):
        assert quick(tiny_network, unfinished, *resume) == 2
    error = capsys.readouterr().err
    assert f"another process is at work in {unfinished}; wait for it, or choose another folder" in error
    assert (unfinished / "checkpoint_latest.pth").stat().st_mtime_ns == before


def test_a_run_that_another_process_has_started_meanwhile_is_left_alone(
    quick, tiny_network, tmp_path, monkeypatch, capsys
):
    def other_process(*args):
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "settings.json").write_text("its settings")

    monkeypatch.setattr("swin_umamba.pretraining.run.check_images", other_process)
    assert quick(tiny_network, tmp_path / "run") == 2
    assert "exists and is not empty" in capsys.readouterr().err
    assert (tmp_path / "run" / "settings.json").read_text() == "its settings"


def test_the_output_does_not_go_among_the_images(quick, tiny_network, capsys):
    assert quick(tiny_network, quick.data / "run") == 2
    assert "lies inside the folder of images" in capsys.readouterr().err


def test_the_console_script_has_the_same_command(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["pretrain", "--help"])
    assert ended.value.code == 0
    assert "--no-mixing" in capsys.readouterr().out
