def capture(plt):
    """Makes plt.show() write a line of JSON to descriptor 4 for each open figure."""
    from matplotlib.axes import Axes

    bxp = Axes.bxp

    def keep_bxp(self, bxpstats, *args, **kwargs):
        drawn = bxp(self, bxpstats, *args, **kwargs)
        # What was drawn holds no statistics any more.
        self._daytona_boxes = getattr(self, "_daytona_boxes", []) + list(zip(bxpstats, drawn["medians"]))
        return drawn

    def show(*args, **kwargs):
        import os

        for number in plt.get_fignums():
            data = encode(figure(plt.figure(number)))
            while data:
                data = data[os.write(4, data) :]
        plt.close("all")

    Axes.bxp = keep_bxp
    plt.show = show


def encode(chart):
    """A line of JSON, without what is too large for an answer."""
    import json
    import sys

    for large, empty in (("elements", []), ("png", "")):
        line = json.dumps(chart, allow_nan=False).encode() + b"\n"
        if len(line) <= 8 << 20:
            break
        print(f"the {large} of the chart {chart['title']!r} are left out: it has more than 8 MiB", file=sys.stderr)
        chart[large] = empty
    else:
        line = json.dumps(chart, allow_nan=False).encode() + b"\n"
    return line


def figure(fig):
    import base64
    import io

    png = io.BytesIO()
    fig.savefig(png, format="png", bbox_inches="tight")
    parts = [axes(ax) for ax in fig.axes if ax.get_label() != "<colorbar>"]
    if len(parts) == 1:
        chart = parts[0]
    else:
        chart = {"type": "composite_chart" if parts else "unknown", "title": "", "elements": parts}
    title = getattr(fig, "_suptitle", None)
    if title is not None and (len(parts) != 1 or not chart["title"]):
        chart["title"] = title.get_text()
    chart["png"] = base64.b64encode(png.getvalue()).decode()
    return chart


def axes(ax):
    from matplotlib.collections import PathCollection
    from matplotlib.container import BarContainer
    from matplotlib.patches import Wedge

    chart = {"type": "unknown", "title": ax.get_title(), "elements": []}
    wedges = [p for p in ax.patches if isinstance(p, Wedge)]
    if wedges:
        chart["type"] = "pie"
        for w in wedges:
            chart["elements"].append(
                known(label=text(w.get_label()), angle=number(w.theta2 - w.theta1), radius=number(w.r))
            )
        return chart
    chart["x_label"] = ax.get_xlabel()
    chart["y_label"] = ax.get_ylabel()
    if ax.name == "3d":  # there is no type for it
        return chart
    # Clearing the axes takes away what was drawn.
    boxes = [stats for stats, median in getattr(ax, "_daytona_boxes", []) if median in list(ax.lines)]
    if boxes:
        chart["type"] = "box_and_whisker"
        chart["elements"] = [box(i, stats) for i, stats in enumerate(boxes)]
        return chart
    bars = [c for c in ax.containers if isinstance(c, BarContainer)]
    if bars:
        chart["type"] = "bar"
        for container in bars:
            chart["elements"] += bar(ax, container)
        return chart
    # Contours are such collections too, and have no sizes.
    scatters = [c for c in ax.collections if isinstance(c, PathCollection) and len(c.get_sizes())]
    lines = [line for line in ax.lines if len(line.get_xdata(orig=False))]
    if scatters or lines:
        chart["type"] = "scatter" if scatters else "line"
        values = []
        for name, axis in (("x", ax.xaxis), ("y", ax.yaxis)):
            scale, value = kind(axis)
            chart[name + "_scale"] = scale
            chart[name + "_ticks"] = [t for t in map(value, axis.get_majorticklocs()) if t is not None]
            chart[name + "_tick_labels"] = [t.get_text() for t in axis.get_ticklabels()]
            values.append(value)
        for s in scatters:
            chart["elements"].append({"label": text(s.get_label()), "points": points(s.get_offsets(), *values)})
        for line in lines:
            data = zip(line.get_xdata(orig=False), line.get_ydata(orig=False))
            chart["elements"].append({"label": text(line.get_label()), "points": points(data, *values)})
    return chart


def kind(axis):
    """The scale of an axis, and what makes a finite number of a value on it."""
    from matplotlib import category, dates

    converter = axis.get_converter() if hasattr(axis, "get_converter") else axis.converter
    if isinstance(converter, category.StrCategoryConverter):
        return "categorical", number
    kinds = (dates.DateConverter, getattr(dates, "_SwitchableDateConverter", dates.DateConverter))
    if isinstance(converter, kinds) or isinstance(axis.get_major_locator(), dates.DateLocator):
        return "datetime", seconds
    return axis.get_scale(), number


def bar(ax, container):
    from matplotlib import category, ticker

    upright = getattr(container, "orientation", "vertical") != "horizontal"
    axis = ax.xaxis if upright else ax.yaxis
    # Bars beside each other share the name of the tick between them.
    names = []
    if isinstance(
        axis.get_major_formatter(), (ticker.FixedFormatter, ticker.FuncFormatter, category.StrCategoryFormatter)
    ):
        names = [(place, t.get_text()) for place, t in zip(axis.get_majorticklocs(), axis.get_ticklabels())]
    elements = []
    for patch in container.patches:
        if upright:
            value, middle = patch.get_height(), patch.get_x() + patch.get_width() / 2
        else:
            value, middle = patch.get_width(), patch.get_y() + patch.get_height() / 2
        if names:
            label = min(names, key=lambda n: abs(n[0] - middle))[1]
        else:
            label = format(middle, "g")
        value = number(value)
        written = None if value is None else format(value, ".15g")
        elements.append(known(label=label, group=text(container.get_label()), value=written))
    return elements


def box(index, stats):
    label = stats.get("label")
    return known(
        label=str(index + 1) if label is None else str(label),
        min=number(stats["whislo"]),
        first_quartile=number(stats["q1"]),
        median=number(stats["med"]),
        third_quartile=number(stats["q3"]),
        max=number(stats["whishi"]),
        outliers=[v for v in map(number, stats.get("fliers", [])) if v is not None],
    )


def known(**members):
    return {name: value for name, value in members.items() if value is not None}


def points(pairs, x_value, y_value):
    found = []
    for x, y in pairs:
        point = [x_value(x), y_value(y)]
        if None not in point:
            found.append(point)
    return found


def number(value):
    """A finite float, or None for what JSON cannot hold."""
    from numpy import ma

    if value is ma.masked:
        return None
    try:
        value = float(value)
    except (TypeError, ValueError):
        return None
    return value if value - value == 0 else None


def seconds(value):
    """A date as seconds since 1970."""
    from matplotlib.dates import num2date

    value = number(value)
    try:
        return None if value is None else num2date(value).timestamp()
    except (ValueError, OverflowError):
        return None


def text(label):
    """A label that the code gave, not one that matplotlib made up."""
    label = "" if label is None else str(label)
    return "" if label.startswith("_") else label
