"""Promotion and rollback: from where to where, by compare-and-set, and a history that says so."""

import pytest

from infra.releases import Registry, RegistryError
from tasks.distribution import promotion
from tasks.distribution.catalogue import list_history, show_release
from tasks.distribution.promotion import promote, rollback
from tasks.distribution.registry import HeldBeforeError, MovedError, set_alias, signing_key
from tasks.distribution.succession import earlier_champion

NAME = "novels"


@pytest.fixture
def three(publisher):
    """Three releases; v1, v2, v3 were champion one after the other."""
    for text in ("one", "two", "three"):
        release, _ = publisher.release(text)
        promote(publisher.settings, f"{NAME}@v{release.version}")
    return publisher.settings


def log_of(settings):
    return Registry.of(settings).log(NAME)


def test_promote_says_from_where_to_where(publisher):
    publisher.release("one")
    publisher.release("two")
    first = promote(publisher.settings, f"{NAME}@v1")
    assert (first.ref, first.before) == (f"{NAME}@v1", None)
    second = promote(publisher.settings, f"{NAME}@candidate")
    assert (second.ref, second.before) == (f"{NAME}@v2", 1)


def test_rollback_goes_back_one_champion_at_a_time(three):
    back = rollback(three, NAME)
    assert (back.ref, back.before) == (f"{NAME}@v2", 3)
    back = rollback(three, NAME)
    assert (back.ref, back.before) == (f"{NAME}@v1", 2)
    with pytest.raises(RegistryError, match=r"expected a champion before v1, found none.*abcd history"):
        rollback(three, NAME)
    assert log_of(three).aliases == {"candidate": 3, "champion": 1}


@pytest.mark.parametrize(
    ("line", "earlier"),
    [([], None), ([1], None), ([1, 3], 1), ([1, 3, 2], 3), ([1, 2, 3, 1], None), ([1, 2, 3, 2, 3], 2)],
)
def test_the_champion_before(publisher, line, earlier):
    for text in ("one", "two", "three"):
        publisher.release(text)
    for version in line:
        promote(publisher.settings, f"{NAME}@v{version}")
    assert earlier_champion(log_of(publisher.settings)) == earlier


@pytest.mark.parametrize("to", ["v1", "1"])
def test_rollback_to_a_version(three, to):
    assert rollback(three, NAME, to).version == 1
    assert rollback(three, NAME, "v3").before == 1


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("v3", r"is the champion already, expected an earlier champion \(v1, v2\)"),
        ("v4", r"never was the champion, expected an earlier champion \(v1, v2\).*abcd promote"),
        ("v9", "expected one of 4 releases"),
        ("first", "expected a version, as in v3"),
        ("v0", "expected a version, as in v3"),
    ],
)
def test_rollback_to_what_cannot_be(three, publisher, to, said):
    publisher.release("four")
    with pytest.raises(RegistryError, match=said):
        rollback(three, NAME, to)
    assert log_of(three).aliases["champion"] == 3


def test_without_a_model_or_a_champion_there_is_nothing_to_roll_back(publisher):
    with pytest.raises(RegistryError, match="no model novels"):
        rollback(publisher.settings, NAME)
    publisher.release("one")
    with pytest.raises(RegistryError, match="expected a champion before now, found none"):
        rollback(publisher.settings, NAME)


@pytest.mark.parametrize("act", [lambda s: rollback(s, NAME), lambda s: promote(s, f"{NAME}@v1")])
def test_who_is_overtaken_moves_nothing_and_is_told(three, publisher, monkeypatch, act):
    """Between the look and the move somebody else promotes v4."""
    publisher.release("four")
    real = promotion.set_alias

    def overtaken(*arguments, **named):
        monkeypatch.setattr(promotion, "set_alias", real)
        promote(three, f"{NAME}@v4")
        return real(*arguments, **named)

    monkeypatch.setattr(promotion, "set_alias", overtaken)
    with pytest.raises(MovedError, match=r"points to v4, expected v3.*abcd history novels"):
        act(three)
    assert log_of(three).aliases["champion"] == 4


def test_an_alias_that_takes_a_version_once_is_not_moved_back(three):
    rollback(three, NAME)
    with pytest.raises(HeldBeforeError, match="has pointed to v3 before"):
        set_alias(
            Registry.of(three), signing_key(three.keys), NAME, "champion", 3, expected=2, only_once=True
        )  # fmt: skip
    assert log_of(three).aliases["champion"] == 2


def test_history_has_a_row_an_entry(publisher):
    settings = publisher.settings
    publisher.release("one")
    promote(settings, f"{NAME}@v1")
    publisher.release("two")
    promote(settings, f"{NAME}@v2")
    rollback(settings, NAME)
    rows = list_history(settings, NAME)
    assert [row.sequence for row in rows] == list(range(8))
    assert [(row.kind, row.version, row.alias, row.before, row.is_return) for row in rows] == [
        ("key", None, None, None, False),
        ("release", 1, None, None, False),
        ("alias", 1, "candidate", None, False),
        ("alias", 1, "champion", None, False),
        ("release", 2, None, None, False),
        ("alias", 2, "candidate", 1, False),
        ("alias", 2, "champion", 1, False),
        ("alias", 1, "champion", 2, True),
    ]
    assert rows[0].key == log_of(settings).key
    assert (rows[4].decision, rows[4].bits_per_byte) == ("ask", 2.0)
    with pytest.raises(RegistryError, match=r"no model poems.*there are: novels"):
        list_history(settings, "poems")


def test_show_says_where_a_release_stands(three, publisher):
    publisher.release("four")
    rollback(three, NAME)
    said = {version: show_release(three, f"{NAME}@v{version}")["standing"] for version in (1, 2, 3, 4)}
    assert said[1].startswith("was the champion until ")
    assert ", then replaced by v2; " in said[1]
    assert said[2].startswith("champion since ")
    assert ", then rolled back to v2; " in said[3]
    assert said[4].startswith("never champion: the gate leaves it to a person; ")
    assert said[4].endswith(f"abcd promote {NAME}@v4")
