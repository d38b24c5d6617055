"""Charts of matplotlib that code_run returns."""

import base64
import math
from collections.abc import Iterator
from typing import Any

import pytest
from daytona import (
    AsyncDaytona,
    BarChart,
    BoxAndWhiskerChart,
    Chart,
    CompositeChart,
    Daytona,
    LineChart,
    PieChart,
    Sandbox,
    ScatterChart,
)

# One run makes all of them, as matplotlib takes seconds to be imported.
FIGURES = {
    "line": """
plt.plot([1, 2, 3, float('nan')], [2, 4, 8, 1], label='growth')
plt.plot([1, 3], [5, float('inf')])
plt.title('A title')
plt.xlabel('time')
plt.ylabel('size')
plt.yscale('log')
plt.show()""",
    "scatter": "plt.scatter([1, 2], [3, 4], label='dots'); plt.show()",
    "names": "plt.scatter(['a', 'b'], [1, 2]); plt.show()",
    "dates": "plt.plot([datetime(2024, 1, 1), datetime(2024, 1, 3)], [1, 2]); plt.show()",
    "bar": """
x = np.arange(2)
plt.bar(x - 0.2, [1, 2.5], 0.4, label='m')
plt.bar(x + 0.2, [3, float('nan')], 0.4, label='w')
plt.xticks(x, ['A', 'B'])
plt.title('T')
plt.ylabel('n')
plt.show()""",
    "lying": "plt.barh(['a', 'b'], [3, 4]); plt.show()",
    "pie": "plt.pie([1, 3], labels=['one', 'three'], radius=0.5); plt.title('P'); plt.show()",
    "box": """
plt.boxplot([[1, 2, 3, 4, 50]], positions=[1])
plt.boxplot([[2, 3, 4]], positions=[2])
plt.ylabel('v')
plt.show()""",
    "cleared": "f, ax = plt.subplots(); ax.boxplot([1, 2]); ax.clear(); ax.plot([1], [2]); plt.show()",
    "composite": """
f, (a, b) = plt.subplots(1, 2)
a.plot([1, 2], [3, 4])
a.set_title('left')
b.pie([1, 1])
f.suptitle('both')
plt.show()""",
    "image": "plt.imshow([[1, 2]]); plt.colorbar(); plt.show()",
    "contour": "plt.contourf([[1, 2], [3, 4]]); plt.show()",
    "space": "plt.axes(projection='3d').scatter([1], [2], [3]); plt.show()",
    "large": "plt.plot(range(500_000)); plt.title('big'); plt.show()",
    "empty": "plt.figure(); plt.show()",
}


@pytest.fixture(scope="module")
def plotting(daytona: Daytona) -> Iterator[Sandbox]:
    """A sandbox with matplotlib."""
    sandbox = daytona.create(timeout=120)
    installed = sandbox.process.exec("pip install -q --no-compile --user matplotlib 2>&1", timeout=300)
    assert installed.exit_code == 0, installed.result
    yield sandbox
    sandbox.delete()


@pytest.fixture(scope="module")
def charts(plotting: Sandbox) -> dict[str, Chart]:
    code = "import matplotlib.pyplot as plt\nimport numpy as np\nfrom datetime import datetime\n"
    answer = plotting.process.code_run(code + "\n".join(FIGURES.values()) + "\nprint('shown')")
    assert answer.exit_code == 0, answer.result
    left_out, shown, _ = answer.result.split("\n")
    assert "'big' are left out" in left_out and shown == "shown"
    made = dict(zip(FIGURES, answer.artifacts.charts, strict=True))
    for chart in made.values():
        assert base64.b64decode(chart.png).startswith(b"\x89PNG\r\n")
        finite(chart.to_dict())
    return made


def finite(value: Any) -> None:
    if isinstance(value, dict):
        for member in value.values():
            finite(member)
    elif isinstance(value, list):
        for member in value:
            finite(member)
    elif isinstance(value, float):
        assert math.isfinite(value)


def test_a_line_chart(charts: dict[str, Chart]):
    chart = charts["line"]
    assert isinstance(chart, LineChart)
    assert (chart.type, chart.title, chart.x_label, chart.y_label) == ("line", "A title", "time", "size")
    assert (chart.x_scale, chart.y_scale) == ("linear", "log")
    assert chart.x_ticks and chart.x_tick_labels and len(chart.x_ticks) == len(chart.x_tick_labels)
    assert chart.y_ticks and chart.y_tick_labels
    assert [(e.label, e.points) for e in chart.elements] == [
        ("growth", [[1.0, 2.0], [2.0, 4.0], [3.0, 8.0]]),
        ("", [[1.0, 5.0]]),
    ]


def test_a_scatter_chart(charts: dict[str, Chart]):
    chart = charts["scatter"]
    assert isinstance(chart, ScatterChart)
    assert [(e.label, e.points) for e in chart.elements] == [("dots", [[1.0, 3.0], [2.0, 4.0]])]
    named = charts["names"]
    assert isinstance(named, ScatterChart)
    assert (named.x_scale, named.x_ticks, named.x_tick_labels) == ("categorical", [0.0, 1.0], ["a", "b"])


def test_dates_are_seconds(charts: dict[str, Chart]):
    chart = charts["dates"]
    assert isinstance(chart, LineChart)
    assert chart.x_scale == "datetime"
    assert chart.elements[0].points == [[1704067200.0, 1.0], [1704240000.0, 2.0]]
    assert chart.x_ticks and 1704067200.0 in chart.x_ticks


def test_a_bar_chart(charts: dict[str, Chart]):
    chart = charts["bar"]
    assert isinstance(chart, BarChart)
    assert (chart.title, chart.x_label, chart.y_label) == ("T", "", "n")
    assert [(e.label, e.group, e.value) for e in chart.elements] == [
        ("A", "m", "1"),
        ("B", "m", "2.5"),
        ("A", "w", "3"),
        ("B", "w", None),
    ]
    assert [(e.label, e.value) for e in charts["lying"].elements] == [("a", "3"), ("b", "4")]


def test_a_pie_chart(charts: dict[str, Chart]):
    chart = charts["pie"]
    assert isinstance(chart, PieChart)
    assert chart.title == "P"
    assert [(e.label, round(e.angle), e.radius) for e in chart.elements] == [("one", 90, 0.5), ("three", 270, 0.5)]


def test_a_box_and_whisker_chart(charts: dict[str, Chart]):
    chart = charts["box"]
    assert isinstance(chart, BoxAndWhiskerChart)
    assert chart.y_label == "v"
    first, second = chart.elements
    assert (first.min, first.first_quartile, first.median, first.third_quartile, first.max) == (1, 2, 3, 4, 4)
    assert (first.outliers, second.outliers, second.median) == ([50], [], 3)
    assert isinstance(charts["cleared"], LineChart)


def test_a_composite_chart(charts: dict[str, Chart]):
    chart = charts["composite"]
    assert isinstance(chart, CompositeChart)
    assert chart.title == "both"
    assert [(e.type, e.title) for e in chart.elements] == [("line", "left"), ("pie", "")]
    left = chart.elements[0].to_dict()
    assert left["elements"][0]["points"] == [[1.0, 3.0], [2.0, 4.0]]
    assert left["x_scale"] == "linear"


@pytest.mark.parametrize("figure", ["image", "contour", "space", "empty"])
def test_what_has_no_type_is_unknown_and_has_its_picture(charts: dict[str, Chart], figure: str):
    assert (charts[figure].type, charts[figure].elements) == ("unknown", [])


def test_a_chart_too_large_for_an_answer_keeps_its_picture(charts: dict[str, Chart]):
    chart = charts["large"]
    assert (chart.type, chart.title, chart.elements) == ("line", "big", [])


async def test_charts_of_the_asynchronous_client(plotting: Sandbox, async_daytona: AsyncDaytona):
    sandbox = await async_daytona.get(plotting.id)
    answer = await sandbox.process.code_run("import matplotlib.pyplot as plt\nplt.bar(['a'], [1])\nplt.show()")
    (chart,) = answer.artifacts.charts
    assert isinstance(chart, BarChart)
    assert (chart.elements[0].label, chart.elements[0].value) == ("a", "1")
