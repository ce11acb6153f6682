"""Figures looked at before they are written."""

import pytest


def watch_figure(monkeypatch: pytest.MonkeyPatch) -> list:
    """A list that gets every figure that is written from here on."""
    from matplotlib.figure import Figure

    figures = []
    save = Figure.savefig

    def keep(figure: Figure, *words: object, **options: object) -> None:
        figures.append(figure)
        save(figure, *words, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures
