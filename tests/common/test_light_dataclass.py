"""Light dataclasses: they do what Python's do."""

import copy
import dataclasses
import pickle

import pytest
from swin_umamba.common import light_dataclass
from swin_umamba.common.typed_json import as_json, from_json


@light_dataclass.dataclass(frozen=True)
class Light:
    name: str
    size: tuple[int, int] = (1, 2)
    rate: float | None = None

    def __post_init__(self):
        if not self.name:
            raise ValueError("name is empty")

    @property
    def area(self):
        return self.size[0] * self.size[1]


Real = dataclasses.make_dataclass(
    "Light",
    [
        ("name", str),
        ("size", tuple[int, int], dataclasses.field(default=(1, 2))),
        ("rate", float | None, dataclasses.field(default=None)),
    ],
    frozen=True,
)


@pytest.mark.parametrize("values", [("a",), ("a", (3, 4)), ("a", (3, 4), 0.5)])
def test_values_words_and_hash_are_those_of_a_real_one(values):
    light, real = Light(*values), Real(*values)
    assert vars(light) == vars(real)
    assert repr(light) == repr(real)
    assert hash(light) == hash(real)
    assert dataclasses.asdict(light) == dataclasses.asdict(real)
    assert light.area == light.size[0] * light.size[1]


def test_it_is_equal_to_its_like_alone():
    assert Light("a") == Light(name="a", size=(1, 2))
    assert Light("a") != Light("b")
    assert Light("a") != Real("a")


def test_who_asks_finds_the_fields_of_a_real_one():
    assert dataclasses.is_dataclass(Light)
    found, wanted = dataclasses.fields(Light), dataclasses.fields(Real)
    assert [(one.name, one.type, one.default, one.init) for one in found] == [
        (one.name, one.type, one.default, one.init) for one in wanted
    ]
    assert dataclasses.fields(Light("a")) == found
    assert Light.size == (1, 2)


def test_it_survives_a_file_of_json_a_copy_and_a_pickle():
    light = Light("a", (3, 4))
    assert from_json(Light, as_json(light)) == light
    assert from_json(Light, {"name": "a"}) == Light("a")
    assert copy.deepcopy(light) == pickle.loads(pickle.dumps(light)) == light


@pytest.mark.parametrize("replace", [dataclasses.replace, light_dataclass.replace])
def test_replaced_values_are_checked(replace):
    assert replace(Light("a", rate=0.5), size=(3, 4)) == Light("a", (3, 4), 0.5)
    with pytest.raises(ValueError, match="name is empty"):
        replace(Light("a"), name="")
    with pytest.raises(TypeError, match="colour"):
        replace(Light("a"), colour="red")


def test_nothing_can_be_changed():
    light = Light("a")
    with pytest.raises(AttributeError, match="cannot assign to 'name' of Light"):
        light.name = "b"
    with pytest.raises(AttributeError, match="cannot delete 'name' of Light"):
        del light.name
    assert light == Light("a")


@pytest.mark.parametrize(
    ("values", "named", "message"),
    [
        ((), {}, "Light needs 'name'"),
        ((), {"size": (1, 1)}, "Light needs 'name'"),
        (("a",), {"colour": "red"}, "Light has no field 'colour'"),
        (("a", (1, 1), None, 4), {}, "Light has 3 fields, got 4"),
        (("a",), {"name": "b"}, "Light got 'name' twice"),
    ],
)
def test_wrong_fields_are_named(values, named, message):
    with pytest.raises(TypeError, match=message):
        Light(*values, **named)
