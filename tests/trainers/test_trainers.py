"""The trainers: the paper's optimizer and schedule, deep supervision, freezing, and what is not trained on."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import pytest
import torch
from batchgenerators.dataloading.nondet_multi_threaded_augmenter import NonDetMultiThreadedAugmenter
from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
from nnunetv2.run.load_pretrained_weights import load_pretrained_weights
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from swin_umamba.common.errors import RunError, UserError
from swin_umamba.common.files import link_atomically
from swin_umamba.networks import SwinUMambaD
from swin_umamba.runs.settings import TRAINERS as TRAINER_NAMES
from swin_umamba.trainers.registry import (
    TRAINER_CLASSES,
    nnUNetTrainerSwinUMamba,
    nnUNetTrainerSwinUMambaD,
    nnUNetTrainerSwinUMambaDNoScan,
    nnUNetTrainerSwinUMambaDScratch,
    nnUNetTrainerSwinUMambaNoScan,
    nnUNetTrainerSwinUMambaScratch,
    register_trainers,
)
from swin_umamba.trainers.schedule import CosineEpochSchedule, cosine_learning_rate

import swin_umamba_ext

from . import tiny_trainer
from .tiny_trainer import TinySwinUMambaD, make_batch, pretrained_part, start_epoch

SCALES = {
    nnUNetTrainerSwinUMambaScratch: [1, 1 / 2, 1 / 4, 1 / 8],
    nnUNetTrainerSwinUMambaDScratch: [1, 1 / 4, 1 / 8, 1 / 16],
    nnUNetTrainerSwinUMambaNoScan: [1, 1 / 2, 1 / 4, 1 / 8],
    nnUNetTrainerSwinUMambaDNoScan: [1, 1 / 4, 1 / 8, 1 / 16],
}
TRAINERS = pytest.mark.parametrize("trainer_class", SCALES, ids=lambda c: c.__name__)


@pytest.fixture
def make_trainer(finished, discs, tmp_path, monkeypatch):
    """A function that makes an initialised trainer on the preprocessed data of the finished run."""
    folder, _ = finished
    monkeypatch.delenv("SWIN_UMAMBA_PRETRAINED", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("nnUNet_preprocessed", str(folder / "nnUNet_preprocessed"))
    monkeypatch.setenv("nnUNet_results", str(tmp_path))
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")
    return lambda trainer_class, **attributes: tiny_trainer.make_trainer(trainer_class, folder, discs, **attributes)


@pytest.mark.parametrize("epochs", [1, 7, 100])
def test_the_schedule_is_torchs_cosine(epochs):
    parameter = torch.nn.Parameter(torch.zeros(1))
    theirs = torch.optim.AdamW([parameter], lr=1e-4)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(theirs, T_max=epochs, eta_min=1e-6)
    ours = torch.optim.AdamW([parameter], lr=1e-4)
    schedule = CosineEpochSchedule(ours, epochs, 1e-4)
    for epoch in range(epochs):
        schedule.step(epoch)
        assert ours.param_groups[0]["lr"] == pytest.approx(theirs.param_groups[0]["lr"], rel=1e-9)
        theirs.step()
        reference.step()


def test_the_schedule_starts_and_ends_where_the_paper_says():
    assert cosine_learning_rate(0, 100, 1e-4) == 1e-4
    assert cosine_learning_rate(50, 100, 1e-4) == pytest.approx((1e-4 + 1e-6) / 2)
    assert cosine_learning_rate(100, 100, 1e-4) == pytest.approx(1e-6)


@TRAINERS
def test_optimizer_and_scales_are_the_papers(make_trainer, trainer_class):
    trainer = make_trainer(trainer_class)
    assert isinstance(trainer.optimizer, torch.optim.AdamW)
    (group,) = trainer.optimizer.param_groups
    assert {key: group[key] for key in ("lr", "weight_decay", "betas", "eps")} == {
        "lr": 1e-4,
        "weight_decay": 0.05,
        "betas": (0.9, 0.999),
        "eps": 1e-5,
    }
    assert trainer._get_deep_supervision_scales() == [[scale, scale] for scale in SCALES[trainer_class]]
    # nnU-Net halves the weight from scale to scale and drops the coarsest.
    assert np.allclose(trainer.loss.weight_factors, np.array([4, 2, 1, 0]) / 7)


@TRAINERS
def test_a_step_trains_and_fits_the_scales(make_trainer, trainer_class):
    trainer = make_trainer(trainer_class)
    trainer.on_train_epoch_start()
    batch = make_batch(trainer)
    before = {name: parameter.detach().clone() for name, parameter in trainer.network.named_parameters()}
    first = trainer.train_step(batch)["loss"]
    assert math.isfinite(first)
    changed = [
        name for name, parameter in trainer.network.named_parameters() if not torch.equal(parameter, before[name])
    ]
    assert any(name.startswith("vssm_encoder.layers") for name in changed)
    result = trainer.validation_step(batch)
    assert math.isfinite(result["loss"])
    trainer.set_deep_supervision_enabled(False)
    assert trainer.network(batch["data"]).shape == (2, 3, 32, 32)


@pytest.fixture
def tiny_weights(tmp_path):
    """A file that fits the encoder of `TinySwinUMambaD`."""
    path = tmp_path / "weights.pth"
    torch.save(SwinUMambaD(3, 3, embed_dim=8, depths=(1, 1, 1, 1)).state_dict(), path)
    return path


def test_only_a_pretrained_encoder_is_frozen_and_only_for_the_first_epochs(make_trainer):
    def trainable(trainer, epoch):
        start_epoch(trainer, epoch)
        encoder = trainer.network.vssm_encoder.named_parameters()
        return {name.split(".")[0]: parameter.requires_grad for name, parameter in encoder}

    pretrained = make_trainer(TinySwinUMambaD)
    assert trainable(pretrained, 0) == {"patch_embed": True, "layers": False, "downsamples": False}
    assert trainable(pretrained, 9) == {"patch_embed": True, "layers": False, "downsamples": False}
    assert all(trainable(pretrained, 10).values())
    assert all(trainable(make_trainer(TinySwinUMambaD, freeze_encoder_epochs=0), 0).values())
    assert all(trainable(make_trainer(TinySwinUMambaD, pretrained=False), 0).values())


def test_frozen_weights_stay_bit_by_bit_and_move_when_they_are_freed(make_trainer):
    trainer = make_trainer(TinySwinUMambaD, freeze_encoder_epochs=2)
    before = pretrained_part(trainer.network)
    patch_embedding = trainer.network.vssm_encoder.patch_embed.proj.weight.detach().clone()
    for epoch in (0, 1):
        start_epoch(trainer, epoch)
        trainer.train_step(make_batch(trainer))
        after = pretrained_part(trainer.network)
        assert all(torch.equal(after[name], before[name]) for name in before)
    assert not torch.equal(trainer.network.vssm_encoder.patch_embed.proj.weight, patch_embedding)
    start_epoch(trainer, 2)
    trainer.train_step(make_batch(trainer))
    assert all(not torch.equal(value, before[name]) for name, value in pretrained_part(trainer.network).items())


def test_frozen_weights_stay_after_a_resume_with_momentum(make_trainer, tmp_path):
    trainer = make_trainer(TinySwinUMambaD, freeze_encoder_epochs=0)
    for epoch in (0, 1):
        start_epoch(trainer, epoch)
        trainer.train_step(make_batch(trainer))
    trainer.save_checkpoint(str(tmp_path / "checkpoint.pth"))
    resumed = make_trainer(TinySwinUMambaD, freeze_encoder_epochs=10)
    resumed.load_checkpoint(str(tmp_path / "checkpoint.pth"))
    assert resumed.current_epoch == 2
    momentum = resumed.optimizer.state[next(resumed.network.vssm_encoder.layers.parameters())]["exp_avg"]
    assert momentum.abs().max() > 0
    before = pretrained_part(resumed.network)
    assert all(torch.equal(value, before[name]) for name, value in pretrained_part(trainer.network).items())
    start_epoch(resumed, 2)
    resumed.train_step(make_batch(resumed))
    after = pretrained_part(resumed.network)
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_pretrained_weights_are_read_when_the_training_starts_and_only_then(make_trainer, tiny_weights, tmp_path):
    trainer = make_trainer(TinySwinUMambaD, pretrained_file=tiny_weights)
    weights = torch.load(tiny_weights, weights_only=True)
    name = "vssm_encoder.layers.0.blocks.0.self_attention.in_proj.weight"
    assert not torch.equal(trainer.network.state_dict()[name], weights[name])
    trainer.on_train_start()
    assert torch.equal(trainer.network.state_dict()[name], weights[name])
    (report,) = tmp_path.rglob("pretrained.json")
    assert name in json.loads(report.read_text())["loaded"]

    resumed = make_trainer(TinySwinUMambaD, pretrained_file=tmp_path / "gone.pth")
    trainer.save_checkpoint(str(tmp_path / "checkpoint.pth"))
    resumed.load_checkpoint(str(tmp_path / "checkpoint.pth"))
    resumed.on_train_start()
    assert resumed.pretrained_report is None


def test_stock_nnunet_finds_the_weights_or_says_where_they_come_from(make_trainer, tiny_weights, monkeypatch):
    with pytest.raises(UserError, match=r"ImageNet weights: vssmtiny.*SWIN_UMAMBA_PRETRAINED.*TinySwinUMambaDScratch"):
        make_trainer(TinySwinUMambaD).on_train_start()
    monkeypatch.setenv("SWIN_UMAMBA_PRETRAINED", str(tiny_weights))
    trainer = make_trainer(TinySwinUMambaD)
    trainer.on_train_start()
    assert trainer.pretrained_report.path == tiny_weights


def test_weights_that_nnunets_command_was_given_are_kept(make_trainer, tiny_weights, tmp_path):
    name = "vssm_encoder.layers.0.blocks.0.self_attention.in_proj.weight"
    weights = make_trainer(TinySwinUMambaD, seed=5).network.state_dict()
    torch.save({"network_weights": weights}, tmp_path / "former.pth")
    trainer = make_trainer(TinySwinUMambaD, pretrained_file=tiny_weights)
    # As `nnUNetv2_train -pretrained_weights` does.
    load_pretrained_weights(trainer.network, str(tmp_path / "former.pth"))
    trainer.on_train_start()
    assert torch.equal(trainer.network.state_dict()[name], weights[name])
    assert "no ImageNet weights are read" in Path(trainer.log_file).read_text()
    assert not list(tmp_path.rglob("pretrained.json"))
    start_epoch(trainer, 0)
    assert not trainer.network.get_parameter(name).requires_grad


@pytest.mark.parametrize("amp", ["off", "bfloat16", "float16"])
def test_every_precision_trains(make_trainer, amp):
    trainer = make_trainer(TinySwinUMambaD, pretrained=False, amp=amp)
    trainer.on_train_epoch_start()
    assert (trainer.grad_scaler is not None) == (amp == "float16")
    before = {name: parameter.detach().clone() for name, parameter in trainer.network.named_parameters()}
    # The scaler may skip a first step to find its scale.
    losses = [trainer.train_step(make_batch(trainer))["loss"] for _ in range(3)]
    assert np.isfinite(losses).all()
    assert all(parameter.dtype == torch.float32 for parameter in trainer.network.parameters())
    assert any(not torch.equal(parameter, before[name]) for name, parameter in trainer.network.named_parameters())
    assert math.isfinite(trainer.validation_step(make_batch(trainer))["loss"])


def test_mixed_precision_computes_in_it_and_the_loss_in_float32(make_trainer, monkeypatch):
    trainer = make_trainer(TinySwinUMambaD, pretrained=False, amp="bfloat16")
    trainer.on_train_epoch_start()
    seen = {}
    trainer.network.decoder.seg_layers[-1].register_forward_hook(lambda *hook: seen.update(head=hook[2].dtype))
    gated_layer_norm = swin_umamba_ext.gated_layer_norm

    def watched(y, z, *parameters):
        seen.update(scan=y.dtype, gate=z.dtype)
        return gated_layer_norm(y, z, *parameters)

    monkeypatch.setattr(swin_umamba_ext, "gated_layer_norm", watched)
    trainer.loss.register_forward_pre_hook(lambda *hook: seen.update(loss=hook[1][0][0].dtype))
    trainer.train_step(make_batch(trainer))
    assert seen == {"head": torch.bfloat16, "scan": torch.float32, "gate": torch.bfloat16, "loss": torch.float32}


@pytest.mark.parametrize("has_units", [True, False])
def test_auto_is_bfloat16_where_the_processor_has_units_for_it(make_trainer, monkeypatch, has_units):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": has_units})
    trainer = make_trainer(TinySwinUMambaD, pretrained=False, amp="auto")
    assert trainer.precision == ("bfloat16" if has_units else "float32")
    trainer.on_train_epoch_start()
    expected = torch.bfloat16 if has_units else torch.float32
    seen = {}
    trainer.network.decoder.seg_layers[-1].register_forward_hook(lambda *hook: seen.update(head=hook[2].dtype))
    trainer.loss.register_forward_pre_hook(lambda *hook: seen.update(loss=hook[1][0][0].dtype))
    for step in (trainer.train_step, trainer.validation_step):
        seen.clear()
        step(make_batch(trainer))
        assert seen == {"head": expected, "loss": torch.float32}
    assert trainer.network(torch.zeros(1, 1, 32, 32))[0].dtype == torch.float32


@pytest.mark.slow
def test_three_hundred_steps_in_bfloat16_stay_finite_and_learn(make_trainer):
    trainer = make_trainer(TinySwinUMambaD, pretrained=False, amp="bfloat16", initial_lr=1e-3)
    trainer.on_train_start()
    trainer.on_train_epoch_start()
    losses = [float(trainer.train_step(next(trainer.dataloader_train))["loss"]) for _ in range(300)]
    assert np.isfinite(losses).all()
    assert np.mean(losses[-30:]) < np.mean(losses[:30]) - 0.2


def _bad_step(trainer, batch, match):
    """Run a step that must stop; return the file that it leaves, and check that nothing was touched."""
    before = {name: tensor.clone() for name, tensor in trainer.network.state_dict().items()}
    with pytest.raises(RunError, match=match) as stopped:
        trainer.train_step(batch)
    after = trainer.network.state_dict()
    assert all(torch.equal(after[name], before[name]) or before[name].isnan().any() for name in before)
    (path,) = Path(trainer.output_folder).glob("nonfinite_*.pth")
    assert str(path) in str(stopped.value)
    kept = torch.load(path, weights_only=True)
    assert torch.equal(kept["batch"]["data"], batch["data"]) or batch["data"].isnan().any()
    assert (kept["epoch"], kept["iteration"]) == (0, trainer._iteration)
    assert set(kept["network_weights"]) == set(before)
    return kept


@pytest.mark.parametrize("amp", ["off", "bfloat16", "float16"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_bad_image_stops_the_training_and_is_named(make_trainer, value, amp):
    trainer = make_trainer(TinySwinUMambaD, pretrained=False, amp=amp)
    trainer.on_train_epoch_start()
    trainer.train_step(make_batch(trainer))
    batch = {**make_batch(trainer, value=value), "keys": np.array(["disc_tr3", "disc_tr4"])}
    kept = _bad_step(trainer, batch, r"the loss became nan in epoch 1, iteration 2; .* pixels in disc_tr3: look at")
    assert kept["not_finite"]["images"] == [0]
    assert not torch.isfinite(kept["batch"]["data"][0, 0, 3, 3])
    assert kept["not_finite"]["parameters"] == []
    assert kept["optimizer_state"]["state"]


def test_a_poisoned_parameter_stops_the_training_and_is_named(make_trainer):
    trainer = make_trainer(TinySwinUMambaD, pretrained=False)
    trainer.on_train_epoch_start()
    name = "vssm_encoder.layers.1.blocks.0.ln_1.bias"
    with torch.no_grad():
        trainer.network.get_parameter(name)[0] = math.nan
    kept = _bad_step(trainer, make_batch(trainer), rf"1 parameters were NaN or infinite before this step, {name}")
    assert kept["not_finite"]["parameters"] == [name]
    assert kept["not_finite"]["images"] == []


def test_a_gradient_that_is_not_finite_stops_the_training(make_trainer):
    trainer = make_trainer(TinySwinUMambaD, pretrained=False)
    trainer.on_train_epoch_start()
    name = "decoder.seg_layers.3.weight"
    trainer.network.get_parameter(name).register_hook(lambda gradient: gradient * math.inf)
    kept = _bad_step(trainer, make_batch(trainer), r"the norm of the gradient became .* use a lower --learning-rate")
    assert kept["not_finite"]["gradients"] == [name]


def test_a_scaler_that_never_finds_a_scale_stops_the_training(make_trainer, monkeypatch):
    monkeypatch.setattr("swin_umamba.trainers.paper_trainer.MAX_SKIPPED_STEPS", 2)
    trainer = make_trainer(TinySwinUMambaD, pretrained=False, amp="float16")
    trainer.on_train_epoch_start()
    trainer.network.get_parameter("decoder.seg_layers.3.weight").register_hook(lambda gradient: gradient * math.inf)
    for _ in range(2):
        trainer.train_step(make_batch(trainer))
    _bad_step(trainer, make_batch(trainer), r"the norm of the gradient became")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(28, "No space left on device"), "[Errno 28] No space left on device"),
        (RuntimeError("[enforce fail at inline_container.cc:1]\nunexpected pos 64 vs 0\n"), "unexpected pos 64 vs 0"),
    ],
)
def test_a_step_that_cannot_be_saved_does_not_hide_the_cause(make_trainer, monkeypatch, error, told):
    def fail(*args):
        raise error

    trainer = make_trainer(TinySwinUMambaD, pretrained=False)
    trainer.on_train_epoch_start()
    batch = {**make_batch(trainer, value=math.nan), "keys": np.array(["disc_tr3", "disc_tr4"])}
    monkeypatch.setattr("swin_umamba.trainers.nonfinite.write_checkpoint", fail)
    with pytest.raises(RunError) as stopped:
        trainer.train_step(batch)
    assert str(stopped.value) == (
        f"training stopped because the loss became nan in epoch 1, iteration 1; the batch holds NaN or infinite pixels "
        f"in disc_tr3: look at these images and their preprocessing. The step could not be saved: {told}; checkpoints "
        f"of finished epochs are kept"
    )


def test_the_same_seed_gives_the_same_weights_and_another_one_others(make_trainer):
    first, second, other = (make_trainer(TinySwinUMambaD, seed=seed) for seed in (3, 3, 4))
    name = "vssm_encoder.patch_embed.proj.weight"
    weights = [trainer.network.state_dict()[name] for trainer in (first, second, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize(
    ("trainer_class", "dataset", "expected"),
    [
        (nnUNetTrainerSwinUMamba, "Dataset702_AbdomenMR", (100, 99, True)),
        (nnUNetTrainerSwinUMambaD, "Dataset704_Endovis17", (350, 249, True)),
        (nnUNetTrainerSwinUMambaDScratch, "Dataset703_NeurIPSCell", (450, 349, True)),
        (nnUNetTrainerSwinUMambaDScratch, "Dataset702_AbdomenMR", (200, None, False)),
        (nnUNetTrainerSwinUMambaScratch, "Dataset702_AbdomenMR", (100, 99, True)),
        (nnUNetTrainerSwinUMamba, "Dataset702_Liver", (100, None, True)),
        (TRAINER_CLASSES["nnUNetTrainerPlainConvUNet"], "Dataset704_Endovis17", (350, 249, True)),
    ],
)
def test_stock_nnunet_gets_the_papers_epochs(finished, tmp_path, monkeypatch, trainer_class, dataset, expected):
    monkeypatch.setenv("nnUNet_results", str(tmp_path))
    plans = json.loads(next(finished[0].rglob("nnUNetPlans.json")).read_text())
    dataset_json = json.loads(next(finished[0].rglob("dataset.json")).read_text())
    plans = {**plans, "dataset_name": dataset, "continue_training": False}
    trainer = trainer_class(plans, "2d", 0, dataset_json, torch.device("cpu"))
    assert (trainer.num_epochs, trainer.checkpoint_epoch, trainer.enable_deep_supervision) == expected


def test_the_checkpoint_of_the_papers_epoch_is_kept(make_trainer):
    epochs = {"num_iterations_per_epoch": 1, "num_val_iterations_per_epoch": 1, "num_epochs": 3, "checkpoint_epoch": 1}
    trainer = make_trainer(TinySwinUMambaD, pretrained=False, **epochs)
    trainer.run_training()
    kept, final = (
        torch.load(Path(trainer.output_folder, f"checkpoint_{name}.pth"), weights_only=True)
        for name in ("epoch_1", "final")
    )
    assert (kept["current_epoch"], final["current_epoch"]) == (2, 3)
    name = "decoder.seg_layers.3.weight"
    assert not torch.equal(kept["network_weights"][name], final["network_weights"][name])


def test_a_resumed_training_knows_the_best_score_so_far(make_trainer, monkeypatch):
    """nnU-Net's forgets that of the last epoch, and takes a worse one for the best."""

    def scored(trainer, batch):
        dice = (0.5, 0.9, 0.3)[trainer.current_epoch]  # smoothed 0.5, 0.54, 0.516
        return {
            "loss": np.float32(0),
            "tp_hard": np.array([dice]),
            "fp_hard": np.array([2 - 2 * dice]),
            "fn_hard": np.array([0.0]),
        }

    monkeypatch.setattr(TinySwinUMambaD, "validation_step", scored)
    epochs = {"num_iterations_per_epoch": 1, "num_val_iterations_per_epoch": 1, "num_epochs": 3}
    trainer = make_trainer(TinySwinUMambaD, pretrained=False, **epochs)
    folder = Path(trainer.output_folder)
    with monkeypatch.context() as patched:
        patched.setattr(trainer, "on_epoch_start", lambda: _interrupt_at(trainer, 2))
        with pytest.raises(KeyboardInterrupt):
            trainer.run_training()
    resumed = make_trainer(TinySwinUMambaD, pretrained=False, **epochs)
    resumed.load_checkpoint(str(folder / "checkpoint_latest.pth"))
    resumed.run_training()
    best = torch.load(folder / "checkpoint_best.pth", weights_only=True)
    assert best["current_epoch"] == 2
    assert best["_best_ema"] == pytest.approx(0.54)


def _interrupt_at(trainer, epoch):
    if trainer.current_epoch == epoch:
        raise KeyboardInterrupt
    type(trainer).on_epoch_start(trainer)


def test_no_blur_is_chosen_by_the_clock():
    transforms = TinySwinUMambaD.get_training_transforms((32, 32), (-3.0, 3.0), None, (0, 1), False).transforms
    blurs = [getattr(transform, "transform", transform) for transform in transforms]
    assert [blur.benchmark for blur in blurs if isinstance(blur, GaussianBlurTransform)] == [False]


class _AugmentedByWorkers:
    """A data loader that tells the worker that it runs in, and what torch draws there after an image."""

    def __init__(self):
        self.augment = TinySwinUMambaD.get_training_transforms((32, 32), (-3.0, 3.0), None, (0, 1), False)

    def set_thread_id(self, worker):
        self.worker = worker

    def __next__(self):
        time.sleep(0.05)
        self.augment(image=torch.zeros(1, 48, 48), segmentation=torch.zeros(1, 48, 48, dtype=torch.int16))
        return self.worker, torch.rand(1).item()


def test_every_worker_has_random_numbers_of_its_own():
    torch.manual_seed(0)
    augmenter = NonDetMultiThreadedAugmenter(_AugmentedByWorkers(), None, 3, num_cached=3, wait_time=0.002)
    drawn = {}
    while len(drawn) < 3:
        worker, number = next(augmenter)
        drawn.setdefault(worker, number)
    augmenter._finish()
    assert len(set(drawn.values())) == 3


def test_every_resumed_epoch_has_an_augmentation_of_its_own(make_trainer, monkeypatch):
    """On a GPU the workers that augment start with a copy of torch's generator, which nobody seeds again."""
    drawn = []
    monkeypatch.setattr(
        TinySwinUMambaD, "get_dataloaders", lambda self: (drawn.append(torch.rand(3).tolist()), (None, None))[1]
    )
    for epoch in (0, 5, 5):
        trainer = make_trainer(TinySwinUMambaD, pretrained=False)
        trainer.current_epoch = epoch
        trainer.on_train_start()
    assert drawn[1] == drawn[2]
    assert drawn[0] != drawn[1]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_convolutions_are_chosen_by_their_speed_on_a_gpu(monkeypatch, discs, device):
    from swin_umamba.datasets import open_raw_dataset
    from swin_umamba.jobs import training_pipeline as run
    from swin_umamba.runs.settings import Settings

    seen = []

    class Stopped(Exception):
        pass

    def start(**_):
        seen.append(torch.backends.cudnn.benchmark)
        raise Stopped

    settings = Settings(str(discs))
    monkeypatch.setitem(run.TRAINER_CLASSES, settings.trainer, start)
    monkeypatch.setenv("nnUNet_n_proc_DA", "1")
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    with pytest.raises(Stopped):
        run.make_trainer(open_raw_dataset(discs), settings, {}, torch.device(device))
    assert seen == [device == "cuda"]


def test_the_checkpoint_of_the_papers_epoch_is_kept_by_a_training_killed_beside_it(make_trainer, monkeypatch):
    epochs = {"num_iterations_per_epoch": 1, "num_val_iterations_per_epoch": 1, "num_epochs": 3, "checkpoint_epoch": 1}
    trainer = make_trainer(TinySwinUMambaD, pretrained=False, **epochs)
    folder = Path(trainer.output_folder)

    def killed(source, path):
        if trainer.current_epoch == 1:
            raise KeyboardInterrupt
        link_atomically(source, path)

    with monkeypatch.context() as patched:
        patched.setattr("swin_umamba.trainers.paper_trainer.link_atomically", killed)
        with pytest.raises(KeyboardInterrupt):
            trainer.run_training()
    resumed = make_trainer(TinySwinUMambaD, pretrained=False, **epochs)
    resumed.load_checkpoint(str(folder / "checkpoint_latest.pth"))
    resumed.run_training()
    assert torch.load(folder / "checkpoint_epoch_1.pth", weights_only=True)["current_epoch"] == 2
    assert torch.load(folder / "checkpoint_final.pth", weights_only=True)["current_epoch"] == 3


def test_a_damaged_checkpoint_is_named(make_trainer, tmp_path):
    path = tmp_path / "checkpoint_latest.pth"
    path.write_bytes(b"no checkpoint")
    trainer = make_trainer(TinySwinUMambaD)
    nothing = (
        r"checkpoint_latest.pth is a text file .*, not a checkpoint; no other checkpoint .* is left: start it again"
    )
    with pytest.raises(UserError, match=nothing):
        trainer.load_checkpoint(str(path))
    for name in ("best", "epoch_1"):
        (tmp_path / f"checkpoint_{name}.pth").touch()
    left = (
        r"checkpoint_best.pth and checkpoint_epoch_1.pth are left: delete checkpoint_latest.pth, and the same command"
    )
    with pytest.raises(UserError, match=left):
        trainer.load_checkpoint(str(path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network_weights": {"a": torch.ones(1)}}, "does not fit this training: RuntimeError: .*Missing key"),
        ({"optimizer_state": {"state": {}}}, "does not fit this training: KeyError: 'param_groups'"),
        ({"current_epoch": None}, "has None for its 'current_epoch'"),
        ({"trainer_name": "Another"}, "was written by Another on .*, and this training is TinySwinUMambaD on "),
    ],
)
def test_a_checkpoint_of_another_training_is_named(make_trainer, tmp_path, change, message):
    path = tmp_path / "checkpoint_latest.pth"
    trainer = make_trainer(TinySwinUMambaD, pretrained=False)
    trainer.save_checkpoint(str(path))
    trainer.load_checkpoint(str(path))
    torch.save({**torch.load(path, weights_only=True), **change}, path)
    with pytest.raises(UserError, match=f"checkpoint_latest.pth {message}.*; no other checkpoint") as raised:
        trainer.load_checkpoint(str(path))
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) <= 300 + len(str(path))


def test_a_checkpoint_that_nnunet_wrote_is_gone_on_from(make_trainer, tmp_path):
    trainer = make_trainer(TinySwinUMambaD, pretrained=False)
    trainer.on_epoch_start()
    trainer.on_train_epoch_start()
    trainer.train_step(make_batch(trainer))
    trainer.logger.log("mean_fg_dice", np.float64(0.5), 0)
    trainer.logger.log("dice_per_class_or_region", [np.float32(0.25), np.float32(0.75)], 0)
    trainer._best_ema = np.float64(0.5)
    path = str(tmp_path / "checkpoint_latest.pth")
    nnUNetTrainer.save_checkpoint(trainer, path)
    with pytest.raises(UnpicklingError):
        torch.load(path, weights_only=True)
    resumed = make_trainer(TinySwinUMambaD, pretrained=False)
    resumed.load_checkpoint(path)
    assert (resumed.current_epoch, resumed._best_ema) == (1, 0.5)
    assert resumed.logger.get_value("dice_per_class_or_region", step=0) == [0.25, 0.75]
    weights = resumed.network.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in trainer.network.state_dict().items())
    name = "decoder.seg_layers.3.weight"
    momenta = [one.optimizer.state[one.network.get_parameter(name)]["exp_avg"] for one in (trainer, resumed)]
    assert torch.equal(*momenta)
    resumed.on_epoch_start()
    resumed.on_train_epoch_start()
    resumed.train_step(make_batch(resumed))
    resumed.save_checkpoint(path)
    assert torch.load(path, weights_only=True)["current_epoch"] == 2


def test_nnunet_finds_every_trainer_by_name_without_importing_its_own():
    from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

    register_trainers()
    for name in (*TRAINER_NAMES.values(), "nnUNetTrainerSwinUMambaScratch", "nnUNetTrainerSwinUMambaDScratch"):
        assert recursive_find_trainer_class_by_name(name) is TRAINER_CLASSES[name]
