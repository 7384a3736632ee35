"""Damaged checkpoints, and what reads checkpoints."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import pickle
import pickletools
import random
import struct
import warnings
import zipfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from swin_umamba import load_pretrained
from swin_umamba.checkpoints import read_checkpoint
from swin_umamba.networks import SwinUMambaD
from swin_umamba.trainers.saved_state import read_state

from tests.fuzz.damage import cut, flip, splice

NUMBERS = [0, 1, -1, 3, 255, 2**16, 2**31 - 1, 2**32, 2**40, 2**62, 2**63, 2**64 + 1, -(2**63), 10**300]
VALUES = [None, -1, True, 0.5, float("nan"), "x" * 1000, "\n\x1b[31m", b"\0", [], {}, (), [None], {"a": 1, 2: 3}, 2**70]
VALUES += [
    1j,
    {1},
    torch.zeros(3),
    torch.ones(1).expand(9),
    np.float32(3),
    np.zeros((2, 3)),
    torch.float16,
    torch.zeros(0),
]
NAMES = [b"cos\nsystem\n", b"cbuiltins\neval\n", b"ctorch._utils\n_rebuild_tensor_v2\n", b"ccollections\nOrderedDict\n"]
NAMES += [b"cnumpy.core.multiarray\n_reconstruct\n", b"cnumpy\ndtype\n", b"ccopyreg\n_reconstructor\n", b"ca\nb\n"]
PIECES = [b"0", b"2", b"(", b"1", b"t", b")", b"]", b"}", b"\x8f", b"R", b"b", b"s", b"a", b"e", b"u", b"\x90", b"\x81"]
PIECES += [b"\x92", b"o", b"N", b"\x88", b"K\x07", b"\x85", b"\x86", b"\x87", b"\x94", b"Q", b"l", b"d", b"\x93", b"."]
PIECES += [
    b"X\xff\xff\xff\x7f",
    b"\x8e" + b"\xff" * 7 + b"\x0f",
    b"\x8b\xff\xff\xff\x7f",
    b"\x8d\0\0\0\0\0\0\0\x01",
    b"2\x86" * 60,
]
PIECES += [
    b"X\x04\0\0\0" + b"echo",
    b"h\0",
    b"h\x01",
    b"j\xff\xff\0\0",
    b"r\xff\xff\xff\xff",
    b"C\x02ab",
    b"I" + b"9" * 5000 + b"\n",
]


class Target:
    """Five ways to write a checkpoint, eight ways to damage it, three to read it."""

    def __init__(self, folder: Path) -> None:
        torch.manual_seed(0)
        torch.set_num_threads(1)
        self.folder = folder
        self.network = SwinUMambaD(1, 3, embed_dim=4, depths=(1, 1, 1, 1), d_state=1)
        parameters = [torch.nn.Parameter(torch.ones(3, 2)), torch.nn.Parameter(torch.ones(2))]
        optimizer = torch.optim.SGD(parameters, lr=0.1, momentum=0.9)
        sum(parameter.sum() for parameter in parameters).backward()
        optimizer.step()
        self.state = {
            "network_weights": {"a.weight": torch.ones(3, 2), "a.bias": torch.ones(2, dtype=torch.float16)},
            "optimizer_state": optimizer.state_dict(),
            "grad_scaler_state": None,
            "logging": {"train_losses": [np.float64(0.5)] * 3, "dice": [[np.float32(1), np.float32(0.25)]] * 3},
            "_best_ema": np.float64(0.5),
            "current_epoch": 3,
            "inference_allowed_mirroring_axes": (0, 1),
            "arrays": [np.arange(6.0).reshape(2, 3), np.arange(3, dtype=">i2")],
        }
        weights = self.network.state_dict()
        legacy = {"_use_new_zipfile_serialization": False}
        self.sources = [_saved(self.state), _saved(self.state, pickle_protocol=4), _saved(self.state, **legacy)]
        self.sources += [_saved({"model": weights}), _saved(weights, **legacy), save(weights)]
        self.sources.append(_rewritten(self.sources[0], lambda records: records, zipfile.ZIP_DEFLATED))
        self.damages = [flip, flip, cut, splice, self.damage_zip, self.damage_pickle, self.damage_pickle, self.edit]
        self.readers = [read_checkpoint, self.load_weights, self.resume]
        for content in self.sources:  # what is imported at first use, is not the files' doing
            path = folder / "a.pth"
            path.write_bytes(content)
            for reader in self.readers:
                with contextlib.suppress(ValueError):
                    reader(path)
        for content in (b"\x08\0\0\0\0\0\0\0{" + b"}" * 99, b"PK\x03\x04" + b"\xff" * 99, b"\x80\x02\xff", b"a text"):
            path.write_bytes(content)
            with contextlib.suppress(ValueError):
                read_checkpoint(path)

    def make(self, generator: random.Random) -> Path:
        content = generator.choice(self.damages)(generator.choice(self.sources), generator)
        if generator.random() < 0.1:
            content = flip(content, generator)
        path = self.folder / "a.pth"
        path.write_bytes(content)
        return path

    def resume(self, path: Path) -> None:
        """What `swin-umamba train --resume` reads; it has an end when it is written again."""
        json.dumps(read_state(path)["logging"])

    def load_weights(self, path: Path) -> None:
        """All or none of them."""
        before = {name: tensor.clone() for name, tensor in self.network.state_dict().items()}
        try:
            load_pretrained(self.network, path)
        except ValueError:
            assert all(torch.equal(before[name], tensor) for name, tensor in self.network.state_dict().items())
            raise

    def damage_zip(self, content: bytes, generator: random.Random) -> bytes:
        """Drop, double, rename, swap or compress records, or write something into the headers."""
        if not content.startswith(b"PK"):
            content = self.sources[0]
        if generator.random() < 0.4:
            return _with_field(content, generator)
        methods = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]

        def change(records: list) -> list:
            records = list(records)
            for _ in range(generator.randint(0, 3)):
                one, other = (generator.randrange(len(records)) for _ in range(2))
                match generator.randrange(5):
                    case 0 if len(records) > 1:
                        del records[one]
                    case 1:
                        records.append(records[one])
                    case 2:
                        records[one] = (records[other][0], records[one][1])
                    case 3:
                        records[one] = (records[one][0] + generator.choice(["/", "x", "é", "\n"]), records[one][1])
                    case 4:
                        records[one] = (records[one][0], bytes(generator.choice([0, 100, 10_000_000])))
            return records

        return _rewritten(content, change, generator.choice(methods))

    def damage_pickle(self, content: bytes, generator: random.Random) -> bytes:
        """Change instructions, in an archive whose checksums are right."""
        if not content.startswith(b"PK"):
            start = content.index(b".", content.index(b"little_endian")) + 1 if content.startswith(b"\x80") else 0
            return content[:start] + mutated(content[start:], generator)
        return _rewritten(
            content,
            lambda records: [
                (name, mutated(data, generator) if name.endswith("data.pkl") else data) for name, data in records
            ],
        )

    def edit(self, _content: bytes, generator: random.Random) -> bytes:
        """Another value somewhere in the state of a training."""
        state = copy.deepcopy(self.state)
        containers = list(_containers(state))
        for _ in range(generator.randint(1, 3)):
            container = generator.choice(containers)
            key = generator.choice(list(container) if isinstance(container, dict) else range(len(container)))
            if generator.random() < 0.1:
                container[key] = _tower(generator.choice([15, 25, 150]), generator.choice([1, 2]))
            else:
                container[key] = generator.choice(VALUES)
        return _saved(state)


def mutated(pickled: bytes, generator: random.Random) -> bytes:
    """Drop, repeat, move or replace instructions, and numbers in them."""
    try:
        positions = [position for _, _, position in pickletools.genops(pickled)]
    except ValueError:
        return splice(pickled, generator)
    ends = [*positions[1:], positions[-1] + 1]
    instructions = [pickled[start:end] for start, end in zip(positions, ends, strict=True)]
    for _ in range(generator.choice([1, 1, 2, 5])):
        at = generator.randrange(1, len(instructions))
        match generator.randrange(6):
            case 0:
                del instructions[at]
            case 1:
                instructions.insert(at, generator.choice(instructions))
            case 2:
                instructions.insert(at, generator.choice(PIECES))
            case 3:
                instructions[at] = generator.choice(NAMES)
            case 4:
                instructions.insert(at, b"".join(generator.choices(PIECES + NAMES, k=6)))
            case 5:
                numbers = [index for index, code in enumerate(instructions) if code[:1] in b"KMJ"]
                if numbers:
                    number = pickle.dumps(generator.choice(NUMBERS), 2)[2:-1]
                    instructions[generator.choice(numbers)] = number
    return b"".join(instructions) + pickled[ends[-1] :]


def _saved(content: object, **options: object) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def _rewritten(content: bytes, change, method: int = zipfile.ZIP_STORED) -> bytes:
    """An archive with changed records."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        records = [(name, archive.read(name)) for name in archive.namelist()]
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", method) as archive:
        warnings.simplefilter("ignore")  # of two records with one name
        for name, data in change(records):
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            archive.writestr(info, data)
    return file.getvalue()


def _with_field(content: bytes, generator: random.Random) -> bytes:
    """An archive with another number in a header."""
    signature, fields = generator.choice([(b"PK\x03\x04", 26), (b"PK\x01\x02", 42), (b"PK\x05\x06", 18)])
    places = [at for at in range(len(content)) if content.startswith(signature, at)]
    at = generator.choice(places) + generator.randrange(4, fields, 2)
    number = generator.choice([0, 8, 12, 14, 2**16, 2**31, 2**32 - 1, generator.randrange(2**32)])
    return content[:at] + struct.pack("<I", number) + content[at + 4 :]


def _containers(value: object):
    if isinstance(value, dict | list) and value:
        yield value
        for item in value.values() if isinstance(value, dict) else value:
            yield from _containers(item)


def _tower(depth: int, width: int) -> list:
    tower = []
    for _ in range(depth):
        tower = [tower] * width
    return tower
