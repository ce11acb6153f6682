"""The digest of a stage's code changes with its formulas, and with nothing else."""

import pytest

from condense.base import digest


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of three modules: stage -> formula, and a message that decides nothing."""
    (tmp_path / "base").mkdir()
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "stage.py").write_text(
        "from condense.room.formula import f\nfrom condense.base.errors import InputError\n"
    )
    (tmp_path / "room" / "formula.py").write_text(
        '"""Old words."""\n\n\ndef f(x):\n    """Square."""\n    return x * x\n'
    )
    (tmp_path / "base" / "errors.py").write_text("class InputError(Exception): pass\n")
    monkeypatch.setattr(digest, "PACKAGE", tmp_path)

    def compute():
        digest._tree.cache_clear()
        digest._meaning.cache_clear()
        return digest.code("room.stage")

    yield tmp_path, compute
    digest._tree.cache_clear()
    digest._meaning.cache_clear()


def test_comments_docstrings_and_layout_do_not_matter(package):
    folder, compute = package
    before = compute()
    (folder / "room" / "formula.py").write_text(
        '"""New words."""\n# a remark\ndef f(x):\n    "Other."\n    return (x *\n            x)\n'
    )
    assert compute() == before


def test_a_formula_behind_an_import_matters(package):
    folder, compute = package
    before = compute()
    (folder / "room" / "formula.py").write_text("def f(x):\n    return x + x\n")
    assert compute() != before


def test_what_is_said_in_an_error_does_not_matter(package):
    folder, compute = package
    before = compute()
    (folder / "base" / "errors.py").write_text("class InputError(ValueError): pass\n")
    assert compute() == before


def test_selection_depends_on_the_transport_and_embedding_does_not():
    assert "transport.partial" in digest._reached("selection.select")
    assert "transport.partial" not in digest._reached("encoders.embed")
    assert "scoring.metrics" not in digest._reached("training.train")
