def _bootstrap():
    import importlib.machinery
    import linecache
    import os
    import sys
    import types

    with os.fdopen(3, "rb") as f:
        source = f.read()
    os.set_inheritable(4, False)
    os.environ.setdefault("MPLBACKEND", "Agg")

    class PyplotFinder:
        """Adds chart capture to matplotlib once the code imports it."""

        @staticmethod
        def find_spec(name, path=None, target=None):
            if name != "matplotlib.pyplot":
                return None
            spec = importlib.machinery.PathFinder.find_spec(name, path)
            if spec is None or spec.loader is None:
                return None
            load = spec.loader.exec_module

            def exec_module(module):
                load(module)
                capture(module)

            spec.loader.exec_module = exec_module
            return spec

    def capture(plt):
        from matplotlib.axes import Axes

        bxp = Axes.bxp

        def keep_bxp(self, bxpstats, *args, **kwargs):
            self._daytona_boxes = list(bxpstats)
            return bxp(self, bxpstats, *args, **kwargs)

        def show(*args, **kwargs):
            import json

            for number in plt.get_fignums():
                line = json.dumps(figure(plt.figure(number)), allow_nan=False) + "\n"
                data = line.encode()
                while data:
                    data = data[os.write(4, data):]
            plt.close("all")

        Axes.bxp = keep_bxp
        plt.show = show

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
            chart["elements"] = [
                {"label": text(w.get_label()), "angle": number(w.theta2 - w.theta1), "radius": number(w.r)} for w in wedges
            ]
            return chart
        chart["x_label"] = ax.get_xlabel()
        chart["y_label"] = ax.get_ylabel()
        if getattr(ax, "_daytona_boxes", None):
            chart["type"] = "box_and_whisker"
            chart["elements"] = [box(i, b) for i, b in enumerate(ax._daytona_boxes)]
            return chart
        bars = [c for c in ax.containers if isinstance(c, BarContainer)]
        if bars:
            chart["type"] = "bar"
            for container in bars:
                chart["elements"] += bar(ax, container)
            return chart
        scatters = [c for c in ax.collections if isinstance(c, PathCollection)]
        lines = [line for line in ax.lines if len(line.get_xdata(orig=False))]
        if scatters or lines:
            chart["type"] = "scatter" if scatters else "line"
            for name, axis in (("x", ax.xaxis), ("y", ax.yaxis)):
                chart[name + "_ticks"] = [t for t in map(number, axis.get_majorticklocs()) if t is not None]
                chart[name + "_tick_labels"] = [t.get_text() for t in axis.get_ticklabels()]
                chart[name + "_scale"] = axis.get_scale()
            for s in scatters:
                chart["elements"].append({"label": text(s.get_label()), "points": points(s.get_offsets())})
            for line in lines:
                data = zip(line.get_xdata(orig=False), line.get_ydata(orig=False))
                chart["elements"].append({"label": text(line.get_label()), "points": points(data)})
        return chart

    def bar(ax, container):
        upright = getattr(container, "orientation", "vertical") != "horizontal"
        axis = ax.xaxis if upright else ax.yaxis
        names = {}
        for place, label in zip(axis.get_majorticklocs(), axis.get_ticklabels()):
            names[round(float(place), 6)] = label.get_text()
        elements = []
        for patch in container.patches:
            if upright:
                value, middle = patch.get_height(), patch.get_x() + patch.get_width() / 2
            else:
                value, middle = patch.get_width(), patch.get_y() + patch.get_height() / 2
            label = names.get(round(float(middle), 6), "%g" % middle)
            elements.append({"label": label, "group": text(container.get_label()), "value": "%.15g" % value})
        return elements

    def box(index, stats):
        label = stats.get("label")
        return {
            "label": str(index + 1) if label is None else str(label),
            "min": number(stats["whislo"]),
            "first_quartile": number(stats["q1"]),
            "median": number(stats["med"]),
            "third_quartile": number(stats["q3"]),
            "max": number(stats["whishi"]),
            "outliers": [v for v in map(number, stats.get("fliers", [])) if v is not None],
        }

    def points(pairs):
        found = []
        for x, y in pairs:
            point = [number(x), number(y)]
            if None not in point:
                found.append(point)
        return found

    def number(value):
        """A finite float, or None for what JSON cannot hold."""
        try:
            value = float(value)
        except (TypeError, ValueError):
            return None
        return value if value - value == 0 else None

    def text(label):
        """A label that the code gave, not one that matplotlib made up."""
        label = "" if label is None else str(label)
        return "" if label.startswith("_") else label

    sys.meta_path.insert(0, PyplotFinder)
    name = "<code>"
    lines = source.decode("utf-8", "replace").splitlines(True)
    linecache.cache[name] = (len(source), None, lines, name)
    sys._bootstrap = sys.modules["__main__"]  # it must live as long as the code
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    try:
        exec(compile(source, name, "exec", dont_inherit=True), main.__dict__)
    except Exception as error:
        # The frames of this function are no concern of the reader.
        if error.__traceback__ is not None:
            error.__traceback__ = error.__traceback__.tb_next
        if sys.excepthook is sys.__excepthook__:
            import traceback

            # Unlike the interpreter's own hook it finds the lines in linecache.
            traceback.print_exception(type(error), error, error.__traceback__)
        else:
            sys.excepthook(type(error), error, error.__traceback__)
        sys.exit(1)


_bootstrap()
