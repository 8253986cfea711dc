from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from robust import defenses
from robust.defenses.nominal import Nominal
from sweep.results import fingerprint, source

ROOT = Path(__file__).resolve().parents[3]

PLAIN = '''"""A module."""
import math


def f(x: int) -> str:
    """What it does."""
    # why it does
    y = math.sqrt(x)

    return f"{y:.{x}f} {'#'} { x }" + "# no comment"


class C:
    def g(self):
        return 1
'''


@pytest.mark.parametrize(
    "other",
    [
        PLAIN.replace('"""A module."""\n', ""),
        PLAIN.replace('    """What it does."""\n', ""),
        PLAIN.replace("What it does", "What it really\n    does"),
        PLAIN.replace("    # why it does\n", ""),
        PLAIN.replace("y = math", "y  =  math"),
        PLAIN.replace("sqrt(x)\n", "sqrt(x)  # root\n\n\n"),
        PLAIN.replace("math.sqrt(x)", "math.sqrt(\n        x\n    )"),
        PLAIN.replace("        return 1", "      return 1"),
        PLAIN.replace("\n", "\r\n"),
    ],
)
def test_form_ignores_how_source_is_written(other: str) -> None:
    assert other != PLAIN
    assert source.canonical(other) == source.canonical(PLAIN)


@pytest.mark.parametrize(
    "other",
    [
        PLAIN.replace("return 1", "return 2"),
        PLAIN.replace("sqrt", "cbrt"),
        PLAIN.replace("# no comment", "# a comment"),
        PLAIN.replace("'#'", "'$'"),
        PLAIN.replace("{ x }", "{x!r}"),
        PLAIN.replace("        return 1", "        pass\n    return 1"),
        PLAIN.replace(":.{x}f", ":.{x}g"),
    ],
)
def test_form_tells_what_source_does(other: str) -> None:
    assert source.canonical(other) != source.canonical(PLAIN)


def test_formatted_text_is_one_token_in_every_python() -> None:
    # Python 3.11 makes one token of an f-string, later ones many.
    assert (
        source.canonical("x = f'a {b:{c}} {f\"{d}\"}' 'e'\n") == "x = f'a {b:{c}} {f\"{d}\"}' 'e'"
    )


def test_function_is_cut_out_with_its_decorators() -> None:
    text = "@one\n@two(3)\ndef f():\n    return 1\n\n\ndef g():\n    return 2\n"
    assert source.definition(text, "f") == "@one\n@two(3)\ndef f():\n    return 1\n"
    with pytest.raises(ValueError, match="'h'"):
        source.definition(text, "h")


def test_modules_follow_what_is_imported_and_not_the_folder() -> None:
    found = source.closure(["robust.defenses.pgd"], ["robust"])
    assert {"robust.defenses.pgd", "robust.defenses.adversarial", "robust.norms"} <= set(found)
    assert "robust.attacks.gradient" in found
    assert not [name for name in found if name.endswith((".rub", ".coap", ".nominal"))]


def test_form_registered_for_a_class_belongs_to_function_and_class() -> None:
    with_both = source.closure(
        ["robust.networks.mlp", "robust.networks.linearization"], ["robust"]
    )
    assert "robust.networks.mlp_gradient" in with_both
    assert "robust.networks.mlp_gradient" not in source.closure(["robust.norms"], ["robust"])


def test_module_that_registers_a_name_is_found() -> None:
    assert source.registering("robust.defenses", "rub") == ("robust.defenses.rub",)
    assert source.registering("robust.bounds.methods", "crown") == ("robust.bounds.methods.crown",)
    assert source.registering("robust.defenses", "nothing") == ()


def test_part_of_a_module_that_counts_is_there() -> None:
    for module, name in (*fingerprint._TRAINING_PARTS, *fingerprint._EVALUATION_PARTS):
        assert f"def {name}(" in source.definition(source.text_of(module), name)


@pytest.mark.parametrize("defense", defenses.names())
def test_every_defense_has_a_fingerprint_of_its_own_file(defense: str) -> None:
    own = fingerprint.of_training(defense, "mlp-1x8")
    file = type(defenses.get(defense)).__module__
    same = {n for n in defenses.names() if fingerprint.of_training(n, "mlp-1x8") == own}
    assert {type(defenses.get(name)).__module__ for name in same} == {file}


def test_network_enters_and_hyperparameters_do_not() -> None:
    training = fingerprint.of_training
    assert training("rub", "mlp-1x8") == training("rub", "mlp-3x200") != training("rub", "cnn")


def test_attacks_of_one_file_share_the_fingerprint_of_evaluation() -> None:
    evaluation = fingerprint.of_evaluation
    found = [evaluation(name, "mlp-1x8") for name in ("pgd-l1", "vertex-l1", "certified-l1")]
    assert len({*found, evaluation("pgd-l1", "cnn")}) == 4
    assert evaluation("pgd-linf-best", "mlp-3x200") == found[0]


def test_certificates_are_told_apart_by_what_proves_them() -> None:
    evaluation = fingerprint.of_evaluation
    assert evaluation("certified-l1", "mlp-1x8") != evaluation("certified-l1-tight", "mlp-1x8")
    assert evaluation("certified-l2", "mlp-1x8") == evaluation("certified-linf", "mlp-1x8")
    parts = fingerprint._method_modules("best")  # asks the others by their names
    assert {f"robust.bounds.methods.{name}" for name in ("best", "crown", "rub")} <= set(parts)


@dataclass(frozen=True)
class Typed(Nominal):
    """A defense whose source is not to be had."""


def test_source_that_cannot_be_had_has_no_fingerprint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Typed, "__module__", "__main__")
    monkeypatch.setitem(defenses.base.DEFENSES._items, "typed", Typed(name="typed", norm=None))
    assert fingerprint.of_training("typed", "mlp-1x8") is None


SHOW = """
from sweep.results import fingerprint as f
print(f.of_training({0!r}, 'mlp-1x8'), f.of_evaluation({1!r}, 'mlp-1x8'))
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the two packages, with a defense dropped in."""
    for name in ("robust", "sweep"):
        skipped = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=skipped)
    shutil.copy(ROOT / "tests" / "plugins" / "pairing.py", tmp_path / "robust" / "defenses")
    return tmp_path


def shown(project: Path, defense: str, attack: str = "pgd-linf") -> tuple[str, str]:
    command = [sys.executable, "-B", "-c", SHOW.format(defense, attack)]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    training, evaluation = done.stdout.split()
    return training, evaluation


def edit(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


@pytest.mark.slow
def test_change_of_a_plug_in_changes_its_fingerprint_and_no_other(project: Path) -> None:
    pairing, pgd = shown(project, "pairing-linf"), shown(project, "pgd-linf")
    assert shown(project, "pairing-linf(beta=1)") == pairing
    file = project / "robust" / "defenses" / "pairing.py"
    edit(file, "for _ in range(STEPS)", "# as often as that\n        for _ in range(STEPS)")
    edit(file, '"""Logit pairing: equal', '"""Pairing of logits: equal')
    assert shown(project, "pairing-linf") == pairing
    edit(file, "ball / 4", "ball / 3")
    changed = shown(project, "pairing-linf")
    assert changed[0] != pairing[0]
    assert changed[1] == pairing[1]
    assert shown(project, "pgd-linf") == pgd
    edit(project / "robust" / "norms.py", "def steepest", "EXTRA = 1\n\n\ndef steepest")
    both = shown(project, "pgd-linf")
    assert both[0] != pgd[0]
    assert both[1] != pgd[1]


def test_strong_attacks_have_the_fingerprint_of_their_frame(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def changed(old: str, new: str) -> str | None:
        read = source.text_of
        with monkeypatch.context() as patch:
            patch.setattr(source, "text_of", lambda module: read(module).replace(old, new))
            fingerprint._hash.cache_clear()
            return fingerprint.of_strong.__wrapped__("mlp-1x8")

    today = changed("a text that is not there", "")
    assert today is not None
    assert today == changed("# ", "# another comment: ")
    assert today != changed("clamp_max(1.0)", "clamp_max(2.0)")  # of the points in the ball
    assert today != fingerprint.of_strong("cnn")
    fingerprint._hash.cache_clear()
