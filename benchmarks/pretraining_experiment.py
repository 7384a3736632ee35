"""Does pretraining on one image modality help the segmentation of another? On the sample brain, from nothing.

    python benchmarks/pretraining_experiment.py

Modality A is the white-matter probability map of the MNI ICBM152 brain, modality B its T1 image. On tiles of A,
VMamba-Tiny learns to tell from which level of the brain a tile comes, a task that needs no annotation. Then
Swin-UMamba† learns to segment B: from these weights; from random weights for as many epochs; and from random
weights for about as long as pretraining and training take together.

Only the training slices of the sample are used, in A as in B, so nothing is known of the held-out slices. For each
seed all is done anew. What is finished is not done again: start the same command after an interruption. Writes
README.md, curves.png and results.json into docs/results/pretraining.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from swin_umamba.common.files import replace_atomically, write_json
from swin_umamba.datasets.sample import SLABS

ROOT = Path(__file__).resolve().parent.parent
MODEL = "swin-umamba-d"
SLICES_OF_A_LEVEL = 7
TILE, STRIDE = 80, 40
TISSUE_FRACTION = 0.1
ARMS = {"pretrained": "pretrained on A", "scratch": "scratch", "longer": "scratch, longer"}
COLOURS = {"pretrained": "#1f5fa8", "scratch": "#c2490f", "longer": "#8a8f98"}


@dataclass(frozen=True)
class Budget:
    """How much is trained; the defaults took about 27 minutes on two processor cores that had other work besides."""

    pretraining_epochs: int
    epochs: int
    longer_epochs: int
    iterations: int


def main(argv: Sequence[str] | None = None) -> int:
    """Run what is left of the experiment and write its results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("results/pretraining-experiment"), help="folder of the runs")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "results" / "pretraining")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--pretraining-epochs", type=int, default=4, help="passes over the tiles of modality A")
    parser.add_argument("--epochs", type=int, default=3, help="of the segmentation, pretrained or not")
    parser.add_argument("--longer-epochs", type=int, default=9, help="of the third arm")
    parser.add_argument("--iterations", type=int, default=12, help="of an epoch of the segmentation")
    args = parser.parse_args(argv)
    budget = Budget(args.pretraining_epochs, args.epochs, args.longer_epochs, args.iterations)
    work = args.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    if (work / "budget.json").exists():
        if json.loads((work / "budget.json").read_text(encoding="utf-8")) != vars(budget):
            sys.exit(f"{work} holds runs of another budget; choose another folder with --work")
    else:
        write_json(work / "budget.json", vars(budget))
    tiles = work / "tiles"
    if not tiles.exists():
        write_tiles(tiles)
    runs = []
    for seed in args.seeds:
        weights = pretrain(tiles, work / f"pretraining-{seed}", seed, budget)
        for arm in ARMS:
            runs.append({"arm": arm, "seed": seed, **segment(work / f"{arm}-{seed}", arm, seed, weights, budget)})
            runs[-1]["pretraining"] = pretraining_facts(weights.parent, tiles) if arm == "pretrained" else None
    args.output.mkdir(parents=True, exist_ok=True)
    write_json(args.output / "results.json", {"budget": vars(budget), "model": MODEL, "runs": runs})
    with replace_atomically(args.output / "README.md") as file:
        file.write(table(runs, budget).encode())
    draw(runs, args.output / "curves.png")
    print((args.output / "README.md").read_text(encoding="utf-8"))
    return 0


def write_tiles(folder: Path) -> None:
    """Cut the training slices of modality A into tiles, in one folder for each level of the brain."""
    from nilearn.datasets import load_mni152_wm_template
    from nilearn.image import get_data
    from skimage.io import imsave

    white = np.asarray(get_data(load_mni152_wm_template(resolution=1)), dtype=np.float32)
    image = np.round(255 * np.clip(white, 0, 1)).astype(np.uint8)
    unfinished = folder.with_name(folder.name + ".unfinished")
    for slab in SLABS:
        if slab.role != "training":
            continue
        for z in slab.slices:
            level = (z - slab.first) // SLICES_OF_A_LEVEL
            target = unfinished / f"slab{slab.first:03d}_{level}"
            # As the sample's slices: anterior is up.
            plane = image[:, ::-1, z].T
            for top in range(0, plane.shape[0] - TILE + 1, STRIDE):
                for left in range(0, plane.shape[1] - TILE + 1, STRIDE):
                    tile = plane[top : top + TILE, left : left + TILE]
                    if (tile > 127).mean() >= TISSUE_FRACTION:
                        target.mkdir(parents=True, exist_ok=True)
                        imsave(target / f"z{z:03d}_{top:03d}_{left:03d}.png", tile, check_contrast=False)
    unfinished.rename(folder)


def pretrain(tiles: Path, output: Path, seed: int, budget: Budget) -> Path:
    """Pretrain on the tiles; return the file of the weights."""
    weights = output / "vmamba_tiny.pth"
    if not weights.exists():
        command = [sys.executable, "-m", "swin_umamba.pretrain", tiles, "--output", output, "--seed", seed]
        command += ["--epochs", budget.pretraining_epochs, "--image-size", 64, "--batch-size", 16]
        command += ["--learning-rate", 5e-4, "--drop-path", 0, "--augmentation", "light", "--no-mixing"]
        run(command, output)
    return weights


def pretraining_facts(output: Path, tiles: Path) -> dict[str, Any]:
    """What became of the pretraining in the folder ``output``."""
    metrics = json.loads((output / "metrics.json").read_text(encoding="utf-8"))
    last = metrics["history"][-1]
    facts = {name: last[name] for name in ("train_loss", "validation_loss", "accuracy")}
    seconds = sum(entry["seconds"] for entry in metrics["history"])
    counts = [len(list((tiles / name).iterdir())) for name in metrics["classes"]]
    return {
        **facts,
        "classes": len(counts),
        "largest_class": max(counts) / sum(counts),
        "images": metrics["images"]["training"],
        "seconds": seconds,
    }


def segment(output: Path, arm: str, seed: int, weights: Path, budget: Budget) -> dict[str, Any]:
    """Train the segmentation of modality B and score its held-out slices."""
    if not (output / "metrics.json").exists():
        command = [sys.executable, ROOT / "train.py", "--model", MODEL, "--output", output, "--seed", seed]
        command += ["--epochs", budget.longer_epochs if arm == "longer" else budget.epochs]
        command += ["--iterations", budget.iterations]
        if arm == "pretrained":
            command += ["--pretrained", weights, "--input-channels", "sum", "--freeze-epochs", 1]
        else:
            command += ["--no-pretrained"]
        run(command, output)
    metrics = json.loads((output / "metrics.json").read_text(encoding="utf-8"))
    held_out, training = metrics["held_out"], metrics["training"]
    return {
        "dsc": held_out["dsc"]["mean"],
        "nsd": held_out["nsd"]["mean"],
        "dsc_of_classes": {name: value["mean"] for name, value in held_out["dsc"]["per_class"].items()},
        "validation_loss": training["validation_loss"],
        "validation_dice": training["validation_dice"],
        "training_seconds": metrics["seconds"]["training"],
    }


def run(command: list[object], output: Path) -> None:
    """Run a command of the product, going on with a run that was interrupted."""
    command = [str(part) for part in command]
    if (output / "settings.json").exists():
        command.append("--resume")
    print("$", " ".join(["python", *command[1:]]), flush=True)
    start = time.monotonic()
    code = subprocess.run(command, check=False).returncode
    if code:
        sys.exit(code)
    print(f"took {time.monotonic() - start:.0f} s", flush=True)


def table(runs: list[dict[str, Any]], budget: Budget) -> str:
    """The results in Markdown: one line for each arm, then the differences seed by seed."""
    seeds = sorted({entry["seed"] for entry in runs})
    pretraining = [entry["pretraining"] for entry in runs if entry["pretraining"]]
    lines = [
        "# Pretrained on one modality, trained on the other",
        "",
        "Modality A is the white-matter probability map of the sample brain: VMamba-Tiny learns to tell the level of",
        "the brain from which a tile comes. Modality B is the T1 image: Swin-UMamba† learns to segment grey and white",
        "matter. Both see training slices only. All scores are of held-out slices, DSC and NSD (tolerance 1 mm) as",
        f"mean ± standard deviation over the {len(seeds)} seeds. Written by",
        "",
        "```bash",
        f"python benchmarks/pretraining_experiment.py --seeds {' '.join(map(str, seeds))} \\",
        f"    {' '.join('--{} {}'.format(name.replace('_', '-'), value) for name, value in vars(budget).items())}",
        "```",
        "",
        "| start | epochs | DSC | NSD | DSC of each seed | seconds, pretraining + training |",
        "|---|---:|---:|---:|---|---:|",
    ]
    for arm, name in ARMS.items():
        of_arm = [entry for entry in runs if entry["arm"] == arm]
        epochs = budget.longer_epochs if arm == "longer" else budget.epochs
        before = np.mean([facts["seconds"] for facts in pretraining]) if arm == "pretrained" else 0
        lines.append(
            f"| {name} | {epochs} | {_spread(of_arm, 'dsc')} | {_spread(of_arm, 'nsd')} | "
            f"{', '.join('{:.4f}'.format(entry['dsc']) for entry in of_arm)} | "
            f"{before:.0f} + {np.mean([entry['training_seconds'] for entry in of_arm]):.0f} |"
        )
    scores = {(entry["arm"], entry["seed"]): entry["dsc"] for entry in runs}
    for arm in ("scratch", "longer"):
        differences = [scores["pretrained", seed] - scores[arm, seed] for seed in seeds]
        lines += [
            "",
            f"DSC of {ARMS['pretrained']} minus {ARMS[arm]}, seed by seed: "
            f"{', '.join(f'{difference:+.4f}' for difference in differences)}; mean {np.mean(differences):+.4f}.",
        ]
    facts = pretraining[0]
    accuracies = ", ".join("{:.1%}".format(each["accuracy"]) for each in pretraining)
    lines += [
        "",
        f"Pretraining: {facts['images']} tiles, {facts['classes']} levels (the most frequent has "
        f"{facts['largest_class']:.1%}), {budget.pretraining_epochs} epochs; accuracy on tiles left out {accuracies}. "
        f"Segmentation: {budget.iterations} iterations an epoch, batch 4, patches of 128×128.",
        "",
        "![Validation loss of every run, and the DSC of its held-out slices](curves.png)",
        "",
        "One averaged brain, short trainings and few seeds: a difference smaller than the spread over the seeds shows",
        "nothing, and none of this carries over to ImageNet weights or to other data.",
        "",
    ]
    return "\n".join(lines)


def draw(runs: list[dict[str, Any]], path: Path) -> None:
    """Validation loss over the iterations of every run, and the held-out DSC."""
    from matplotlib.figure import Figure
    from swin_umamba.figures.style import figure_style

    with figure_style():
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        curves, scores = figure.subplots(1, 2, width_ratios=(3, 2))
        for number, arm in enumerate(ARMS):
            of_arm = [entry for entry in runs if entry["arm"] == arm]
            for entry in of_arm:
                losses = entry["validation_loss"]
                curves.plot(range(1, len(losses) + 1), losses, color=COLOURS[arm], marker="o", markersize=3)
            dsc = [entry["dsc"] for entry in of_arm]
            scores.plot([number] * len(dsc), dsc, "o", color=COLOURS[arm])
            scores.hlines(np.mean(dsc), number - 0.25, number + 0.25, color=COLOURS[arm])
        curves.legend([curves.lines[i * len(runs) // len(ARMS)] for i in range(len(ARMS))], ARMS.values())
        curves.set(xlabel="epoch", ylabel="validation loss", title="Segmentation of modality B")
        curves.xaxis.get_major_locator().set_params(integer=True)
        scores.set_xticks(
            range(len(ARMS)), [name.replace(", ", ",\n").replace(" on", "\non") for name in ARMS.values()]
        )
        scores.set(ylabel="mean DSC of held-out slices", title="One point a seed, line: mean", xlim=(-0.5, 2.5))
        with replace_atomically(path) as file:
            figure.savefig(file, format="png", dpi=150)


def _spread(runs: list[dict[str, Any]], score: str) -> str:
    values = [entry[score] for entry in runs]
    deviation = f" ± {np.std(values, ddof=1):.4f}" if len(values) > 1 else ""
    return f"{np.mean(values):.4f}{deviation}"


if __name__ == "__main__":
    sys.exit(main())
