"""Metrics over a key of the groups, drawn by matplotlib: the figures of the report, to be changed as one likes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from nckit._errors import PackageError, UsageError

if TYPE_CHECKING:
    from nckit._result import Group, Result

#: Colours that people who do not see all colours can tell apart (Okabe and Ito 2008), for a few lines.
_FEW = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
#: The bands of more lines than this would hide each other.
_MOST_BANDS = 6
#: Of more lines the legend would hide the figure: a bar of colours stands in its place.
_MOST_NAMES = 24
#: A linear axis shows nothing of what is small beside its largest value.
_SPAN = 30.0


def plot(
    result: Result, metrics: str | Iterable[str] | None, x: str | None, ax: Any, bars: bool, options: dict[str, Any]
) -> Any:
    """Do what ``Result.plot`` says."""
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise PackageError("Result.plot needs the package matplotlib: pip install matplotlib") from error
    if len(result) < 2:
        raise UsageError("there is nothing to plot over: the result has one group; group_by='epoch' makes several")
    keys = _keys(result, metrics)
    axis = _axis(result, x)
    single = isinstance(metrics, str) and keys == [metrics]
    if ax is None:
        across = min(len(keys), 3)
        down = math.ceil(len(keys) / across)
        figsize = options.pop("figsize", (1.2 + 4.2 * across, 3.6 * down))
        _, grid = pyplot.subplots(down, across, figsize=figsize, squeeze=False, layout="constrained")
        for spare in grid.flat[len(keys) :]:
            spare.remove()
        axes = list(grid.flat[: len(keys)])
    else:
        axes = [ax] if hasattr(ax, "plot") else list(ax)
        if len(axes) != len(keys):
            raise UsageError(f"there are {len(axes)} axes for {len(keys)} metrics: {', '.join(keys)}")
    lines = _lines(result, axis)
    for number, (one, key) in enumerate(zip(axes, keys, strict=True)):
        _draw(one, key, axis, lines, bars, with_legend=number == len(keys) - 1, options=options)
    if single:
        return axes[0]
    import numpy as np

    made = np.empty(len(axes), dtype=object)
    made[:] = axes
    return made


def _keys(result: Result, metrics: str | Iterable[str] | None) -> list[str]:
    """Return the metrics that are asked for, by family or by key; without any the headline, as far as it has numbers."""
    from nckit._jobs import metrics as cards

    there = list(dict.fromkeys(key for group in result for key in group))
    with_numbers = [key for key in there if any(_number(group.get(key)) for group in result)]
    if metrics is None:
        headline = {card["key"] for card in cards() if card["headline"]}
        chosen = [key for key in with_numbers if key in headline] or with_numbers
    else:
        family_of = {card["key"]: card["family"] for card in cards()}
        names = metrics.split(",") if isinstance(metrics, str) else list(metrics)
        chosen = []
        for name in names:
            of_family = [key for key in with_numbers if family_of.get(key) == name]
            if name not in there and not of_family:
                raise UsageError(f"the result has no metric {name!r}: it has {', '.join(there)}")
            if name in there and name not in with_numbers:
                why = ", ".join(dict.fromkeys(str(group.reason(name)) for group in result))
                raise UsageError(f"{name} has no number in any group: {why}")
            chosen += [name] if name in there else of_family
    if not chosen:
        raise UsageError("no metric has a number in any group")
    return list(dict.fromkeys(chosen))


def _axis(result: Result, asked: str | None) -> str | None:
    """Return the key on the horizontal axis: the one of numbers that has most values; ``None`` if no key has two."""
    names = list(result[0].key)
    if asked is not None and asked not in names:
        raise UsageError(f"the groups have no key {asked!r}: they have {', '.join(names) or 'none'}")
    best: tuple[int, str] | None = None
    for name in names if asked is None else [asked]:
        values = {group.key[name] for group in result}
        if all(isinstance(value, int) and not isinstance(value, bool) for value in values):
            if len(values) > 1 and (best is None or len(values) >= best[0]):
                best = (len(values), name)
        elif asked is not None:
            raise UsageError(f"the values of {asked} are no numbers: x is a key of numbers, as epochs are")
    return best[1] if best else None


def _lines(result: Result, axis: str | None) -> dict[str, list[tuple[Any, Group]]]:
    """Return the groups of each line with where they lie, by the names of the lines."""
    if axis is None:
        return {"": [(_name(group, None), group) for group in result]}
    lines: dict[str, list[tuple[Any, Group]]] = {}
    for group in result:
        lines.setdefault(_name(group, axis), []).append((group.key[axis], group))
    for groups in lines.values():
        groups.sort(key=lambda placed: placed[0])
    return lines


def _name(group: Group, axis: str | None) -> str:
    others = ((name, value) for name, value in group.key.items() if name != axis)
    return " ".join(value if isinstance(value, str) else f"{name} {value}" for name, value in others)


def _draw(
    ax: Any,
    key: str,
    axis: str | None,
    lines: dict[str, list[tuple[Any, Group]]],
    bars: bool,
    with_legend: bool,
    options: dict[str, Any],
) -> None:
    from nckit._jobs import metrics as cards

    card = cards(key)[0]
    colours = _colours(len(lines))
    seen: list[float] = []
    for (name, groups), colour in zip(lines.items(), colours, strict=True):
        at = [where for where, _ in groups]
        details = [group.detail(key) if key in group else {} for _, group in groups]
        values = [_or_nan(detail.get("value")) for detail in details]
        style = {"color": colour, "marker": "o", "markersize": 4, "label": name or None} | options
        if axis is None:
            style |= {"linestyle": "none"}
        [line] = ax.plot(at, values, **style)
        low, high = ([_or_nan(detail.get(end)) for detail in details] for end in ("lo", "hi"))
        seen += values
        if not bars or len(lines) > _MOST_BANDS or all(map(math.isnan, low)):
            continue
        seen += low + high
        if axis is None or len(at) == 1:
            ax.vlines(at, low, high, color=line.get_color(), alpha=0.5)
        else:
            ax.fill_between(at, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
    floors = {group.detail(key).get("floor") for groups in lines.values() for _, group in groups if key in group}
    seen = [value for value in seen if math.isfinite(value)]
    if seen and min(seen) > 0 and max(seen) >= _SPAN * min(seen):
        ax.set_yscale("log")
    floor = floors.pop() if len(floors) == 1 else None
    floor = floor if _number(floor) else None
    if floor is not None and min(seen) <= 2 * floor + 0.1 * max(seen) and (ax.get_yscale() == "linear" or floor > 0):
        ax.axhline(floor, color="grey", linewidth=0.8, linestyle="--", zorder=0)
    _label(ax, card, axis, sorted({where for groups in lines.values() for where, _ in groups}) if axis else [])
    if axis is None:
        ax.tick_params(axis="x", rotation=40)
        for text in ax.get_xticklabels():
            text.set(ha="right", rotation_mode="anchor")
    if with_legend and len(lines) > 1:
        _legend(ax, lines, colours, axis)


def _label(ax: Any, card: dict[str, Any], axis: str | None, steps: Sequence[int]) -> None:
    arrow = {"lower": " ↓", "higher": " ↑"}.get(card["direction"], "")
    unit = f" ({card['unit']})" if card["unit"] else ""
    ax.set_ylabel(f"{card['key']}{unit}{arrow}")
    ax.grid(alpha=0.3, linewidth=0.6)
    ax.spines[["top", "right"]].set_visible(False)
    if axis is None:
        return
    ax.set_xlabel(axis)
    # Epochs are often written down more and more seldom.
    middle = steps[len(steps) // 2]
    if steps[0] >= 0 and len(steps) > 3 and middle - steps[0] < 0.15 * (steps[-1] - steps[0]):
        import numpy as np

        # The logarithm of 1 + x: epochs begin at 0.
        ax.set_xscale("function", functions=(np.log1p, np.expm1))
        low, high = np.log1p([steps[0], steps[-1]])
        ax.set_xlim(*np.expm1([max(low - 0.04 * (high - low), -0.5), high + 0.04 * (high - low)]))
    if len(steps) <= 8:
        from matplotlib.ticker import NullLocator

        ax.set_xticks(steps, [f"{step:,}" if step >= 10_000 else str(step) for step in steps])
        ax.xaxis.set_minor_locator(NullLocator())


def _legend(ax: Any, lines: dict[str, Any], colours: list[Any], axis: str | None) -> None:
    if len(lines) <= _MOST_NAMES:
        ax.legend(fontsize="small", frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
        return
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap

    bar = ax.figure.colorbar(ScalarMappable(cmap=ListedColormap(colours)), ax=ax)
    names = list(lines)
    bar.set_ticks([0.0, 1.0], labels=[names[0], names[-1]])


def _colours(count: int) -> list[Any]:
    if count <= len(_FEW):
        return list(_FEW[:count])
    from matplotlib import colormaps

    return [colormaps["viridis"](0.9 * at / (count - 1)) for at in range(count)]


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _or_nan(value: Any) -> float:
    return float(value) if _number(value) else math.nan
