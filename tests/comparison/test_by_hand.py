"""The numbers of a pooled table, computed anew from the runs' scores by enumeration, without the package and scipy.

Three systems, two folds, two seeds, eight cases in six groups.
"""

from __future__ import annotations

import itertools
import json
import math

import pytest
from swin_umamba.evaluation.measure_names import MEASURES

from .conftest import read_record

NAMES = ("nnunet", "segresnet", "unetr")
GROUP_OF = {f"disc_ts{case}": f"patient{case % 6}" for case in range(8)}
ARGUMENTS = ("--models", ",".join(NAMES), "--folds", "0-1", "--seeds", "2")
ARGUMENTS += ("--metrics", ",".join(MEASURES))


@pytest.fixture
def table(pretender, compare, tmp_path):
    """The record of the comparison, with groups."""
    out = tmp_path / "out"
    for name, shift in zip(NAMES, (4, 1, 2), strict=True):
        for fold, seed in itertools.product(range(2), range(2)):
            pretender.shifts[f"{name}/fold_{fold}_seed_{seed}"] = shift + fold + 2 * seed
    compare(*ARGUMENTS)
    for path in out.glob("*/fold_*/metrics.json"):
        metrics = json.loads(path.read_text())
        path.write_text(json.dumps({**metrics, "groups": {"of_scored": GROUP_OF, "trained": 5}}))
    assert compare(*ARGUMENTS) == 0
    return read_record(out)


def of_cases(out, name, key):
    """Mean over classes, then over the four runs."""
    scores: dict[str, list[float]] = {}
    for path in sorted((out / name).glob("fold_*/metrics.json")):
        for case, values in json.loads(path.read_text())["held_out"]["per_case"].items():
            by_class = values[key] if key in values else values["further"][key]
            scores.setdefault(case, []).append(sum(by_class.values()) / len(by_class))
    assert {len(values) for values in scores.values()} == {4}
    return {case: sum(values) / 4 for case, values in scores.items()}


def of_seed(out, name, key, seed):
    """Mean over the folds of one seed."""
    means = []
    for path in sorted((out / name).glob(f"fold_*_seed_{seed}/metrics.json")):
        held_out = json.loads(path.read_text())["held_out"]
        means.append((held_out[key] if key in held_out else held_out["further"][key])["mean"])
    assert len(means) == 2
    return sum(means) / 2


def of_groups(cases):
    members = {group: [cases[case] for case in cases if GROUP_OF[case] == group] for group in set(GROUP_OF.values())}
    return {group: sum(values) / len(values) for group, values in members.items()}


def deviation(values, less=0):
    mean = sum(values) / len(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - less))


def every_bootstrap_mean(cases):
    """The means of all 6⁶ samples of groups with replacement, in order."""
    members = [[cases[case] for case in cases if GROUP_OF[case] == group] for group in sorted(set(GROUP_OF.values()))]
    totals = [(sum(values), len(values)) for values in members]
    samples = itertools.product(totals, repeat=len(totals))
    return sorted(sum(total for total, _ in sample) / sum(size for _, size in sample) for sample in samples)


def signed_rank_p(differences):
    """Two-sided, over all signs: the share of rank sums at least as far from their middle as the one seen."""
    sizes = [round(abs(difference), 9) for difference in differences]
    ranks = [(sum(s < size for s in sizes) + sum(s <= size for s in sizes) + 1) / 2 for size in sizes]
    seen = abs(sum(math.copysign(rank, value) for rank, value in zip(ranks, differences, strict=True)))
    signs = list(itertools.product((-1, 1), repeat=len(ranks)))
    sums = [abs(sum(rank * sign for rank, sign in zip(ranks, of_all, strict=True))) for of_all in signs]
    return sum(value >= seen - 1e-9 for value in sums) / len(signs)


def test_statistics_of_the_table(table, tmp_path):
    assert table["n_groups"] == 6
    for key in MEASURES:
        check(table, tmp_path / "out", key)


def check(table, out, key):
    cases = {name: of_cases(out, name, key) for name in NAMES}
    for row in table["systems"]:
        score, values = row["scores"][key], cases[row["name"]]
        assert score["cases"] == pytest.approx(values)
        assert score["mean"] == pytest.approx(sum(values.values()) / 8)
        assert score["std"] == pytest.approx(deviation(list(of_groups(values).values())))
        means = every_bootstrap_mean(values)
        low, high = means[round(0.025 * len(means))], means[round(0.975 * len(means))]
        assert score["interval"] == pytest.approx([low, high], abs=0.04 * (means[-1] - means[0]) + 1e-12)
    tests = {}
    for row in table["systems"][1:]:
        groups, first = of_groups(cases[row["name"]]), of_groups(cases["nnunet"])
        differences = [groups[group] - first[group] for group in groups if abs(groups[group] - first[group]) > 1e-9]
        test = row["against_first"][key]
        assert (test["n"], test["ties"]) == (6, 6 - len(differences))
        apart = {case: value - cases["nnunet"][case] for case, value in cases[row["name"]].items()}
        assert test["difference"] == pytest.approx(sum(apart.values()) / 8)
        means = every_bootstrap_mean(apart)
        low, high = means[round(0.025 * len(means))], means[round(0.975 * len(means))]
        assert test["interval"] == pytest.approx([low, high], abs=0.04 * (means[-1] - means[0]) + 1e-12)
        by_seed = [of_seed(out, row["name"], key, seed) - of_seed(out, "nnunet", key, seed) for seed in range(2)]
        assert test["seed_std"] == pytest.approx(deviation(by_seed, less=1), abs=1e-12)
        if len(differences) == 6:
            tests[row["name"]] = test
            assert test["p"] == pytest.approx(signed_rank_p(differences))
        else:
            assert test["p"] is None
    assert tests or key in ("rve", "lesion_f1"), "the shifts make no differences to test"
    for test in tests.values():
        others = sorted(other["p"] for other in tests.values())
        steps = [p * (len(others) - place) for place, p in enumerate(others) if p <= test["p"]]
        assert test["p_holm"] == pytest.approx(min(1, max(steps)))
