"""Former names of modules, under which they can still be imported."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

NEW_NAMES = {
    "cli": "commands.cli",
    "data": "datasets",
    "evaluation.label_files": "common.images.label_files",
    "models": "networks.build",
    "page": "report",
    "pretrained": "checkpoints",
    "training": "trainers",
    "training.trainers": "trainers.registry",
}
"""From what documentation once named to where it is; the submodules of a package have moved with it."""


class FormerNames:
    """A finder and loader of modules: for a former name it gives the module that has it now, and warns."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        parts = name.removeprefix(f"{__package__}.").split(".")
        if not name.startswith(f"{__package__}.") or parts[0] not in {key.partition(".")[0] for key in NEW_NAMES}:
            return None
        for length in range(len(parts), 0, -1):
            if (former := ".".join(parts[:length])) in NEW_NAMES:
                now = ".".join((__package__, NEW_NAMES[former], *parts[length:]))
                return ModuleSpec(name, self, origin=now)  # type: ignore[arg-type] # has what the machinery calls
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        import warnings  # late: no help needs it

        warnings.warn(f"{spec.name} is now {spec.origin}; import it by that name", DeprecationWarning, stacklevel=2)
        module = importlib.import_module(str(spec.origin))
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        # The machinery of imports has put the spec of the former name there.
        if module.__spec__ is not None:
            module.__spec__ = module.__spec__.loader_state


def install() -> None:
    """Let the former names be found, once in a process."""
    if not any(isinstance(finder, FormerNames) for finder in sys.meta_path):
        sys.meta_path.insert(0, FormerNames())
