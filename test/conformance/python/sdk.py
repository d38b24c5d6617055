"""The installed SDK: which one it is, its public members, and what calls them."""

import contextlib
import functools
import importlib
import importlib.metadata
import inspect
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

# The packages of the SDK whose classes a user gets to see.
PARTS = ("_sync", "_async", "handle", "common")

# Says how a call of a member by its name ended: it returned, or it raised.
Ended = Callable[[str, bool], None]


def version() -> str:
    return importlib.metadata.version("daytona")


def package() -> str:
    """The package that has the classes; SDKs of version 2 keep those of version 0 in one of their own."""
    return "daytona.v0" if version().startswith("2.") else "daytona"


def present_v0() -> None:
    """Lets tests import the namespace of version 0, which SDKs of version 2 have, by the name of the SDKs of version 0.

    Only the root makes clients.
    """
    root, v0 = importlib.import_module("daytona"), importlib.import_module(package())
    present = types.ModuleType("daytona")
    present.__getattr__ = lambda name: getattr(v0, name)
    present.Daytona = lambda config=None: root.Daytona(config).v0
    present.AsyncDaytona = lambda config=None: root.AsyncDaytona(config).v0
    present.DaytonaConfig = root.DaytonaConfig
    present.__path__ = []
    classes()  # imports all modules
    for name in [n for n in sys.modules if n.startswith("daytona.v0.")]:
        sys.modules[name.replace(".v0.", ".", 1)] = sys.modules[name]
    sys.modules["daytona"] = present


def classes() -> list[type]:
    root = importlib.import_module(package())
    found = []
    for file in sorted(Path(next(iter(root.__path__))).rglob("*.py")):
        parts = file.relative_to(next(iter(root.__path__))).with_suffix("").parts
        if parts[0] not in PARTS or parts[-1] == "__init__":
            continue
        module = importlib.import_module(".".join([package(), *parts]))
        found += [c for c in vars(module).values() if inspect.isclass(c) and c.__module__ == module.__name__]
    return [c for c in found if not c.__name__.startswith("_") and not issubclass(c, BaseException)]


def members(cls: type) -> dict[str, Any]:
    """The methods and properties that the class itself defines; what begins with model_ belongs to pydantic."""
    kinds = (staticmethod, classmethod, property)
    return {
        name: member
        for name, member in vars(cls).items()
        if not name.startswith(("_", "model_")) and (inspect.isfunction(member) or isinstance(member, kinds))
    }


def surface() -> list[str]:
    """The names of all public members, as Sandbox.fork."""
    return sorted({f"{cls.__name__}.{name}" for cls in classes() for name in members(cls)})


def watch(ended: Ended) -> None:
    """Tells of each call of a public member that does not come from the SDK itself."""
    for cls in classes():
        for name, member in members(cls).items():
            title = f"{cls.__name__}.{name}"
            match member:
                case property():
                    watched = property(_watched(title, member.fget, ended), member.fset, member.fdel, member.__doc__)
                case staticmethod() | classmethod():
                    watched = type(member)(_watched(title, member.__func__, ended))
                case _:
                    watched = _watched(title, member, ended)
            setattr(cls, name, watched)


def _watched(title: str, call: Callable, ended: Ended) -> Callable:
    @functools.wraps(call)
    def watched(*args: Any, **kwargs: Any) -> Any:
        if sys._getframe(1).f_globals.get("__name__", "").startswith("daytona"):
            return call(*args, **kwargs)
        try:
            result = call(*args, **kwargs)
        except Exception:
            ended(title, False)
            raise
        if inspect.isasyncgen(result):
            return _async_generator(title, result, ended)
        if inspect.isgenerator(result):
            return _generator(title, result, ended)
        if inspect.isawaitable(result):
            return _awaited(title, result, ended)
        ended(title, True)
        return result

    return watched


async def _awaited(title: str, result: Any, ended: Ended) -> Any:
    try:
        value = await result
    except Exception:
        ended(title, False)
        raise
    ended(title, True)
    return value


# A generator does its work when its first item is asked for.


def _generator(title: str, result: Any, ended: Ended) -> Any:
    with contextlib.closing(result):
        try:
            for item in result:
                ended(title, True)
                yield item
        except Exception:
            ended(title, False)
            raise
        ended(title, True)


async def _async_generator(title: str, result: Any, ended: Ended) -> Any:
    async with contextlib.aclosing(result):
        try:
            async for item in result:
                ended(title, True)
                yield item
        except Exception:
            ended(title, False)
            raise
        ended(title, True)
