"""Skips tests of what an SDK older than them does not have (pytest -p features --skip-missing).

A test is skipped for a name that it uses and the SDK does not have, and for a
parameter that a method or a type does not take: never for what the server
answers.
"""

import ast
import functools
import importlib
import inspect
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import sdk

HERE = Path(__file__).parent

if sdk.package() != "daytona":
    sdk.present_v0()


def skip(what: str) -> None:
    pytest.skip(f"{sdk.version()} has no {what}")


class Missing(type):
    """The type of names that the SDK does not have."""

    def __call__(cls, *_: Any, **__: Any) -> None:
        skip(cls.__name__)


def provide_imports(file: Path) -> None:
    """Lets a module import what the SDK does not have."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0].startswith("daytona"):
            module = _module(node.module)
            for alias in node.names:
                if not _has(module, alias.name):
                    setattr(module, alias.name, Missing(alias.name, (Exception,), {"__module__": node.module}))


def _module(name: str) -> types.ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        sys.modules[name] = types.ModuleType(name)
        return sys.modules[name]


def _has(module: types.ModuleType, name: str) -> bool:
    try:
        getattr(module, name)
    except (AttributeError, ImportError):
        return False
    return True


def missing_name(function: Callable) -> str | None:
    """A name that the function, or one of this directory that it calls, uses and the SDK does not have."""
    todo, seen = [function], set()
    while todo:
        code, names = todo.pop(), None
        names = getattr(code, "__globals__", {})
        for word in _words(getattr(code, "__code__", None)):
            value = names.get(word)
            if isinstance(value, Missing):
                return word
            value = getattr(value, "_get_wrapped_function", lambda v=value: v)()  # a fixture's function
            own = inspect.isfunction(value) and Path(value.__code__.co_filename).parent == HERE
            if own and value not in seen:
                seen.add(value)
                todo.append(value)
    return None


def _words(code: types.CodeType | None) -> Iterator[str]:
    if code:
        yield from code.co_names
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                yield from _words(constant)


def check_parameters() -> None:
    """Makes calls of methods and types with parameters that they do not take skip the test."""
    for cls in sdk.classes():
        for name, member in sdk.members(cls).items():
            if isinstance(member, staticmethod | classmethod):
                setattr(cls, name, type(member)(_checked(f"{cls.__name__}.{name}", member.__func__)))
            elif not isinstance(member, property):
                setattr(cls, name, _checked(f"{cls.__name__}.{name}", member))
        if "__init__" in vars(cls) or hasattr(cls, "model_fields"):
            cls.__init__ = _checked("__init__", cls.__init__)


def _checked(title: str, call: Callable) -> Callable:
    signature = inspect.signature(call)

    @functools.wraps(call)
    def checked(*args: Any, **kwargs: Any) -> Any:
        if not sys._getframe(1).f_globals.get("__name__", "").startswith("daytona"):
            made = type(args[0]) if title == "__init__" else None
            if fields := getattr(made, "model_fields", None):
                taken = {*fields, *(f.alias for f in fields.values())}
                unknown = [word for word in kwargs if word not in taken]
            else:
                unknown = _unknown(signature, args, kwargs)
            if unknown:
                skip(f"{made.__name__ if made else title}({', '.join(unknown)})")
        return call(*args, **kwargs)

    return checked


def _unknown(signature: inspect.Signature, args: tuple, kwargs: dict) -> list[str]:
    parameters = signature.parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return []
    unknown = [word for word in kwargs if word not in signature.parameters]
    if not unknown:
        try:
            signature.bind(*args, **kwargs)
        except TypeError as why:
            return [str(why)]
    return unknown


def missing_attribute(failure: BaseException | None) -> str | None:
    """The attribute of an object of the SDK that is missing, if the failure comes of that."""
    while failure:
        if isinstance(failure, AttributeError) and failure.obj is not None:
            owner = failure.obj if inspect.isclass(failure.obj) or inspect.ismodule(failure.obj) else type(failure.obj)
            home = getattr(owner, "__module__", owner.__name__)
            if home.startswith("daytona") and not hasattr(failure.obj, failure.name):
                return f"{owner.__name__}.{failure.name}"
        failure = failure.__cause__ or failure.__context__
    return None


class SkipMissing:
    def __init__(self) -> None:
        for file in HERE.glob("*.py"):
            provide_imports(file)
        check_parameters()

    def pytest_collection_modifyitems(self, items: list[pytest.Function]) -> None:
        for item in items:
            functions = [item.function, *getattr(getattr(item, "callspec", None), "params", {}).values()]
            functions += [f.func for defs in item._fixtureinfo.name2fixturedefs.values() for f in defs]
            for name in filter(None, map(missing_name, functions)):
                item.add_marker(pytest.mark.skip(f"{sdk.version()} has no {name}"))
                break

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self) -> Iterator[None]:
        return (yield from self.skipping())

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self) -> Iterator[None]:
        return (yield from self.skipping())

    @staticmethod
    def skipping() -> Iterator[None]:
        try:
            return (yield)
        except (Exception, pytest.fail.Exception) as failure:
            if name := missing_attribute(failure):
                skip(name)
            raise


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--skip-missing", action="store_true", help="skip tests of what the SDK does not have")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--skip-missing"):
        config.pluginmanager.register(SkipMissing())
