"""Which rows a comparison has, and their settings."""

from __future__ import annotations

import pytest
from swin_umamba.common.errors import UserError
from swin_umamba.comparison.shared_settings import SHARED, shared_settings
from swin_umamba.comparison.systems import all_models, choose_systems
from swin_umamba.paper.systems import SYSTEMS

MR = "nnUNet_raw/Dataset702_AbdomenMR"


def test_all_share_data_budget_and_seed():
    systems = choose_systems({"iterations": 3, "seed": 5}, "Dataset101_Liver", list(SYSTEMS))
    assert len(systems) == len(SYSTEMS) >= 9
    assert all(shared_settings(system.settings) == shared_settings(systems[0].settings) for system in systems)
    assert (systems[0].settings.iterations, systems[0].settings.seed) == (3, 5)


def test_each_has_the_learning_rate_of_its_trainer_unless_told():
    systems = choose_systems({}, None, ["swin-umamba-d", "nnunet"], learning_rates={"nnunet": 0.005})
    assert [system.settings.learning_rate for system in systems] == [None, 0.005]


def test_scratch_rows_are_added_beside_pretrained_ones():
    systems = choose_systems({}, None, ["nnunet", "swin-umamba"], pretrained="weights.pth", scratch=True)
    assert [system.name for system in systems] == [
        "nnunet",
        "swin-umamba",
        "swin-umamba-scratch",
        "swin-umamba-d-scratch",
    ]
    assert [system.settings.pretrained for system in systems] == [None, "weights.pth", None, None]
    assert [system.settings.trainer for system in systems][1:] == [
        "nnUNetTrainerSwinUMamba",
        "nnUNetTrainerSwinUMambaScratch",
        "nnUNetTrainerSwinUMambaDScratch",
    ]


def test_scratch_adds_nothing_twice():
    systems = choose_systems({}, None, ["swin-umamba"], scratch=True)
    assert [system.name for system in systems] == ["swin-umamba-scratch", "swin-umamba-d-scratch"]


def test_the_papers_data_set_has_the_papers_settings_and_equal_epochs():
    systems = choose_systems({}, MR, ["nnunet", "swin-umamba"], pretrained="weights.pth", scratch=True)
    assert {system.settings.epochs for system in systems} == {100}
    assert {system.settings.patch_size for system in systems} == {(320, 320)}
    assert {system.settings.fold for system in systems} == {"all"}


def test_shared_fields_and_own_fields_are_all_fields():
    (system,) = choose_systems({}, None, ["nnunet"])
    own = {"model", "pretrained", "learning_rate", "deep_supervision", "checkpoint_epoch"}
    choice_of_the_comparison = {"metrics"}
    assert own | set(SHARED) | choice_of_the_comparison == set(vars(system.settings))


@pytest.mark.parametrize(
    ("models", "message"),
    [
        (["nnunet", "unet"], "no model 'unet'; there are swin-umamba, swin-umamba-d, nnunet"),
        (["nnunet", "nnunet"], "names nnunet twice"),
        ([], "names no model"),
    ],
)
def test_wrong_models(models, message):
    with pytest.raises(UserError, match=message):
        choose_systems({}, None, models)


def test_presets_that_are_one_network_are_trained_once():
    """On the sample patch and batch size are given, and they plan nothing else."""
    assert set(SYSTEMS) - set(all_models({}, None)) == {"nnunet-resenc-l"}
    assert set(SYSTEMS) - set(all_models({"patch_size": (64, 64)}, "Dataset101_Liver")) == set()
    both = ["nnunet-resenc-l", "nnunet-resenc-m"]
    assert len(choose_systems({}, "Dataset101_Liver", both)) == 2
    with pytest.raises(UserError, match=r"nnunet-resenc-l and nnunet-resenc-m are one network, .* name one of them"):
        choose_systems({"patch_size": (64, 64), "batch_size": 2}, "Dataset101_Liver", both)


def test_a_learning_rate_of_a_system_that_is_not_compared():
    with pytest.raises(UserError, match="unetr is not compared"):
        choose_systems({}, None, ["nnunet"], learning_rates={"unetr": 0.1})
