"""Draws a figure from its points (ID.csv) and spec (spec.json) with matplotlib and pandas.

Usage: python redraw.py [FOLDER]      writes ID.pdf and ID.png of matplotlib beside them, as ID-matplotlib.*
Change what you like: `draw(spec, points)` returns a matplotlib figure.
"""
import json
import pathlib
import sys

import matplotlib
import matplotlib.pyplot as plt
import pandas as pd

COLOURS = ["#0072B2", "#D55E00", "#000000", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#808080"]
INCHES = {"": 3.25, "single": 3.25, "double": 6.75}


def width(spec):
    """The figure's width in inches."""
    text = spec.get("width", "")
    if text in INCHES:
        return INCHES[text]
    for unit, inches in {"mm": 1 / 25.4, "cm": 1 / 2.54, "in": 1, "pt": 1 / 72}.items():
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * inches
    raise ValueError(f"width {text!r}")


def axis(ax, which, a):
    """Labels, scale and limits of an axis."""
    unit = "" if a.get("unit", "1") in ("", "1") else f" ({a['unit']})"
    getattr(ax, f"set_{which}label")(a["label"] + unit)
    if a.get("scale") in ("log2", "log10"):
        getattr(ax, f"set_{which}scale")("log", base=int(a["scale"][3:]))
    if "min" in a or "max" in a:
        low, high = getattr(ax, f"get_{which}lim")()
        getattr(ax, f"set_{which}lim")(a.get("min", low), a.get("max", high))


def series(spec, points, default=None):
    """Pairs of a name and the rows that bear it, in order of appearance."""
    columns = spec.get("series") or default
    if not columns:
        return [("", points)]
    name = spec.get("name") or ", ".join(["%s"] * len(columns))
    texts = points[columns].astype(object).apply(lambda r: name % tuple(short(v) for v in r), axis=1)
    return [(n, points[texts == n]) for n in texts.unique()]


def short(v):
    return int(v) if isinstance(v, float) and v.is_integer() else v


def marks(ax, spec, upright=False):
    for m in spec.get("marks") or []:
        line = ax.axhline if m.get("horizontal") and not upright else ax.axvline
        line(m["at"], color="#606060", linestyle="--", linewidth=0.8, label=m["label"])


def curves(ax, spec, points, named):
    for name, rows in series(spec, points):
        i = named.setdefault(name, len(named))
        rows, colour = rows.sort_values(spec["x"]["column"]), COLOURS[i % len(COLOURS)]
        style = {"linestyle": ""} if spec.get("scatter") else {}
        ax.plot(rows[spec["x"]["column"]], rows[spec["y"]["column"]], marker="o", markersize=2.5, linewidth=1, color=colour, label=name, **style)
        if spec.get("lo") and not spec.get("scatter"):
            ax.fill_between(rows[spec["x"]["column"]], rows[spec["lo"]], rows[spec["hi"]], color=colour, alpha=0.2, linewidth=0)
    marks(ax, spec)
    axis(ax, "x", spec["x"])
    axis(ax, "y", spec["y"])


def draw_curves(spec, points):
    panel = spec.get("panel")
    values = points[panel].unique() if panel else [None]
    across = min(spec.get("across") or (3 if width(spec) > 5 else 1), len(values))
    down = -(-len(values) // across)
    fig, axes = plt.subplots(down, across, figsize=(width(spec), 2.4 * down), squeeze=False, sharey=not spec.get("free_y"))
    named = {}
    for ax in axes.flat[len(values):]:
        ax.remove()
    for ax, v in zip(axes.flat, values):
        curves(ax, spec, points if panel is None else points[points[panel] == v] if panel else points, named)
        if panel:
            ax.set_title((spec.get("panel_name") or "%s") % short(v))
    return fig


def draw_small_multiples(spec, points):
    rows, columns = sorted(points[spec["row"]].unique()), sorted(points[spec["column"]].unique())
    fig, axes = plt.subplots(len(rows), len(columns), figsize=(width(spec), 0.8 * len(rows) + 0.6), squeeze=False, sharex=True,
                             sharey="row" if spec.get("by_row") else True)
    for i, r in enumerate(rows):
        for j, c in enumerate(columns):
            curves(axes[i][j], spec, points[(points[spec["row"]] == r) & (points[spec["column"]] == c)], {})
            axes[i][j].set(xlabel="", ylabel="")
            if i == 0:
                axes[i][j].set_title(f"{spec.get('column_name', '')} {c}")
        axes[i][0].set_ylabel(f"{spec.get('row_name', '')} {r}")
    fig.supxlabel(spec["x"]["label"])
    fig.supylabel(spec["y"]["label"])
    return fig


def draw_heat_map(spec, points):
    x, y, value = spec["x"]["column"], spec["y"]["column"], spec["value"]
    order = lambda c: sorted(points[c].unique()) if pd.api.types.is_numeric_dtype(points[c]) else list(points[c].unique())
    grid = points.pivot(index=y, columns=x, values=value["column"]).reindex(index=order(y), columns=order(x))
    fig, ax = plt.subplots(figsize=(width(spec), min(4, 0.3 * len(grid)) + 1))
    norm = matplotlib.colors.LogNorm() if value.get("scale") in ("log2", "log10") else None
    image = ax.imshow(grid.to_numpy(dtype=float), aspect="auto", norm=norm, cmap="viridis")
    for axis_, names in ((ax.xaxis, grid.columns), (ax.yaxis, grid.index)):
        step = -(-len(names) // 16)
        axis_.set_ticks(range(0, len(names), step), [short(n) for n in names[::step]])
    ax.set(xlabel=spec["x"]["label"], ylabel=spec["y"]["label"])
    fig.colorbar(image, label=value["label"])
    if spec.get("cell"):
        texts = points.pivot(index=y, columns=x, values=spec["cell"]).reindex(index=grid.index, columns=grid.columns)
        for i in range(len(grid.index)):
            for j in range(len(grid.columns)):
                if isinstance(texts.iat[i, j], str):
                    ax.text(j, i, texts.iat[i, j], ha="center", va="center", fontsize=6)
    return fig


def draw_histograms(spec, points):
    fig, ax = plt.subplots(figsize=(width(spec), 2.4))
    for i, (name, rows) in enumerate(series(spec, points)):
        edges = list(rows[spec["left"]]) + [rows[spec["right"]].iloc[-1]]
        ax.stairs(rows[spec["count"]["column"]], edges, color=COLOURS[i % len(COLOURS)], label=name)
    marks(ax, spec)
    axis(ax, "x", spec["x"])
    axis(ax, "y", spec["count"])
    return fig


def draw_fit(spec, points):
    fig, ax = plt.subplots(figsize=(width(spec), 2.6))
    i = 0
    for name, rows in series(spec, points, ["name"]):
        rows = rows.sort_values("x")
        if rows["part"].iloc[0] == "point":
            known = rows.dropna(subset=["lo", "hi"])
            ax.vlines(known["x"], known["lo"], known["hi"], color="#202020", linewidth=0.8)
            ax.plot(rows["x"], rows["y"], "o", markersize=3, color="#202020", label=name)
            continue
        ax.plot(rows["x"], rows["y"], color=COLOURS[i % len(COLOURS)], linewidth=1, label=name)
        ax.fill_between(rows["x"], rows["lo"], rows["hi"], color=COLOURS[i % len(COLOURS)], alpha=0.2, linewidth=0)
        i += 1
    marks(ax, spec)
    axis(ax, "x", spec["x"])
    axis(ax, "y", spec["y"])
    return fig


def draw_dots(spec, points):
    names = list(points[spec["category"]].astype(str).unique())
    fig, ax = plt.subplots(figsize=(width(spec), 0.25 * len(names) + 0.8))
    all_series = series(spec, points)
    for i, (name, rows) in enumerate(all_series):
        at = [names.index(str(c)) + 0.6 * (i - (len(all_series) - 1) / 2) / max(len(all_series), 2) for c in rows[spec["category"]]]
        ax.plot(rows[spec["x"]["column"]], at, "o", markersize=3, color=COLOURS[i % len(COLOURS)], label=name)
        if spec.get("lo"):
            ax.hlines(at, rows[spec["lo"]], rows[spec["hi"]], color=COLOURS[i % len(COLOURS)], linewidth=0.9)
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    marks(ax, spec, upright=True)
    axis(ax, "x", spec["x"])
    return fig


def draw(file, points):
    """The figure of a spec file's content and its table of points."""
    plt.rcParams.update({"font.size": 7, "axes.labelsize": 8, "axes.titlesize": 8, "legend.fontsize": 7, "figure.constrained_layout.use": True})
    fig = globals()["draw_" + file["kind"]](file["spec"], points)
    labels = {}
    for ax in fig.axes:
        for handle, label in zip(*ax.get_legend_handles_labels()):
            labels.setdefault(label, handle)
    labels.pop("", None)
    if labels:
        fig.legend(labels.values(), labels.keys(), loc="outside upper center", ncols=max(1, min(4, int(60 * width(file["spec"]) / 4 / max(len(n) + 8 for n in labels)))), frameon=False)
    if file["spec"].get("note"):
        import textwrap

        letters = int(19 * width(file["spec"]))
        fig.supxlabel("\n".join(textwrap.wrap(file["spec"]["note"], letters)), fontsize=6, color="#606060", x=0.01, ha="left")
    return fig


def read(folder):
    folder = pathlib.Path(folder)
    points = next(p for p in folder.glob("*.csv"))
    return points, json.loads((folder / "spec.json").read_text()), pd.read_csv(points)


if __name__ == "__main__":
    path, file, table = read(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
    matplotlib.use("agg")
    figure = draw(file, table)
    for ending in ("pdf", "png"):
        figure.savefig(path.with_name(f"{path.stem}-matplotlib.{ending}"), dpi=300)
