"""A checkpoint of wrong content on resuming: its name and what is wrong, in one line."""

import copy
from pathlib import Path

import pytest
import torch
from swin_umamba.checkpoints import CheckpointError
from swin_umamba.common.errors import UserError
from swin_umamba.runs.last_checkpoint import secure_last_checkpoint
from swin_umamba.trainers.saved_state import check_optimizer, check_written_by, read_state

STATE = {
    "network_weights": {"a": torch.ones(2)},
    "optimizer_state": {},
    "grad_scaler_state": None,
    "logging": {"train_losses": [0.5], "dice_per_class_or_region": [[0.5, 0.25]]},
    "_best_ema": 0.5,
    "current_epoch": 1,
    "inference_allowed_mirroring_axes": (0, 1),
    "trainer_name": "TrainerA",
    "init_args": {"plans": {"dataset_name": "Dataset001_A"}, "configuration": "2d", "fold": 0},
}


def lists_of_one_another():
    tower = []
    for _ in range(100):
        tower = [tower, tower]
    return {"train_losses": tower}


WRONG = {
    "a list": ([1], "an object of the type list, not the state"),
    "nothing": ({}, "no 'network_weights'"),
    "weights alone": ({"network_weights": {}}, "no 'optimizer_state'"),
    "epoch as text": ({**STATE, "current_epoch": "3"}, "'3' for its 'current_epoch'"),
    "epoch as truth": ({**STATE, "current_epoch": True}, "True for its 'current_epoch'"),
    "epoch -1": ({**STATE, "current_epoch": -1}, "-1 for its 'current_epoch'"),
    "epochs to come": ({**STATE, "current_epoch": 9}, "9 for its 'current_epoch', but the losses of 1 epochs"),
    "log of text": ({**STATE, "logging": {"lrs": ["x"]}}, "log of 'lrs'"),
    "log too long": ({**STATE, "logging": {"lrs": [1.0, 2.0]}}, "values of 1 epochs in its log of 'lrs'"),
    "log without end": ({**STATE, "logging": lists_of_one_another()}, "more than 32 deep"),
    "log of a huge number": ({**STATE, "logging": {"lrs": [10**5000]}}, "an integer of 16610 bits"),
    "axes": ({**STATE, "inference_allowed_mirroring_axes": ("x",)}, "something else than axes"),
    "expanded": ({**STATE, "network_weights": {"a": torch.ones(1).expand(9)}}, "a tensor larger than its storage"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_content_is_named(tmp_path, kind):
    content, message = WRONG[kind]
    path = tmp_path / "checkpoint_latest.pth"
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=message) as raised:
        read_state(path)
    assert str(path) in str(raised.value)
    assert len(str(raised.value)) <= 300


def test_a_right_state_is_read(tmp_path):
    torch.save(STATE, tmp_path / "checkpoint_latest.pth")
    state = read_state(tmp_path / "checkpoint_latest.pth")
    assert torch.equal(state.pop("network_weights")["a"], STATE["network_weights"]["a"])
    assert state == {key: value for key, value in STATE.items() if key != "network_weights"}


@pytest.mark.parametrize(
    ("trainer", "data_set", "fold", "message"),
    [
        (
            "TrainerB",
            "Dataset001_A",
            0,
            "by TrainerA on Dataset001_A, fold 0, and this training is TrainerB on .*_A, fold 0",
        ),
        (
            "TrainerA",
            "Dataset001_A",
            1,
            "by TrainerA on Dataset001_A, fold 0, and this training is TrainerA on .*_A, fold 1",
        ),
        (
            "TrainerA",
            "Dataset002_B",
            0,
            "by TrainerA on Dataset001_A, fold 0, and this training is .* Dataset002_B, fold 0",
        ),
    ],
)
def test_a_state_of_another_training_is_named(trainer, data_set, fold, message):
    path = Path("checkpoint_latest.pth")
    check_written_by(path, STATE, "TrainerA", "Dataset001_A", "0")
    with pytest.raises(CheckpointError, match=rf"^checkpoint_latest\.pth was written {message}$"):
        check_written_by(path, STATE, trainer, data_set, fold)


@pytest.mark.parametrize("content", [[1], {}, {"current_epoch": None}, {"current_epoch": [1]}])
def test_the_newest_that_is_left_is_named(tmp_path, content):
    fold = tmp_path / "data" / "trainer" / "fold_0"
    fold.mkdir(parents=True)
    torch.save(content, fold / "checkpoint_best.pth")
    with pytest.raises(UserError, match=r"checkpoint_best\.pth (has|holds) .*no other checkpoint of this training"):
        secure_last_checkpoint(tmp_path, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state["state"][0].update(momentum_buffer=torch.zeros(3)), "of other parameters"),
        (lambda state: state["param_groups"][0].update(momentum="x"), "no or another 'momentum'"),
    ],
)
def test_a_state_of_another_optimizer_is_noticed(change, message):
    parameter = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([parameter], lr=0.1, momentum=0.9)
    parameter.sum().backward()
    optimizer.step()
    state, groups = copy.deepcopy(optimizer.state_dict()), [dict(group) for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    check_optimizer(optimizer, groups)
    change(state)
    optimizer.load_state_dict(state)
    with pytest.raises(ValueError, match=message):
        check_optimizer(optimizer, groups)
