"""Runs code for the agent, one piece after another, in one set of globals.

The agent is at the other end of a socket: each side sends JSON objects, one per
line. What the code prints takes no part in that; it goes through the pipes that
are descriptors 1 and 2, together with the output of the programs it starts.
"""

import fcntl
import io
import json
import linecache
import os
import signal
import sys
import types
from _thread import RLock

if sys.version_info < (3, 8):  # noqa: UP036 - images bring theirs
    sys.exit("the interpreter needs Python 3.8 or newer; this is " + sys.version.split()[0])


def spare(fd):
    """A duplicate that programs do not inherit, out of the way of code that
    closes or replaces descriptors with low numbers."""
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 700)
    except OSError:  # so many descriptors are not allowed
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)


class Channel:
    """The socket."""

    def __init__(self, fd):
        self.fd = spare(fd)
        os.close(fd)
        self.rest = b""
        self.pid = os.getpid()
        self.lock = RLock()
        self.running = False
        self.last = None  # the stream that was written last, or PROGRAMS
        self.asked = 0

    def send(self, message):
        line = json.dumps(message).encode() + b"\n"
        while line:
            line = line[os.write(self.fd, line) :]

    def receive(self):
        parts, chunk = [], self.rest
        while b"\n" not in chunk:
            parts.append(chunk)
            chunk = os.read(self.fd, 1 << 16)
            if not chunk:
                raise EOFError
        line, _, self.rest = chunk.partition(b"\n")
        return json.loads(b"".join(parts + [line]))

    def order(self, stream):
        """Is told who writes next. Before the first bytes of another stream it waits
        until the agent has read what there is: nothing else tells which came first."""
        if self.last is stream or not self.running or os.getpid() != self.pid:
            return
        with self.lock:
            if self.last is stream or not self.running:
                return
            if self.last is not None:
                self.asked += 1
                self.send({"type": "order", "number": self.asked})
                # An interrupted wait has left its answer behind.
                while self.receive().get("number") != self.asked:
                    pass
            self.last = stream


PROGRAMS = object()  # they write to both streams


def before_program(event, args):
    """Lets what was printed come before the output of a program that is started now."""
    if event in ("subprocess.Popen", "os.system", "os.posix_spawn", "os.fork", "os.forkpty") and channel.running:
        flush()
        channel.order(PROGRAMS)


class Stream(io.FileIO):
    """Descriptor 1 or 2."""

    def write(self, data):
        channel.order(self)
        while True:
            written = super().write(data)
            if written is not None:
                return written
            os.set_blocking(self.fileno(), True)  # a program that shares the pipe has changed it


def text(fd):
    """What sys.stdout and sys.stderr are: flushed at each line, and at 1 KiB."""
    raw = Stream(fd, "wb", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw, 1024), "utf-8", "backslashreplace", line_buffering=True, write_through=True
    )


def restore_streams():
    """Opens again what the code before has closed."""
    for fd, kept in spares.items():
        try:
            os.fstat(fd)
        except OSError:
            os.dup2(kept, fd)
    if getattr(sys.stdin, "closed", True):
        sys.stdin = open(0, closefd=False)
    if getattr(sys.stdout, "closed", True):
        sys.stdout = text(1)
    if getattr(sys.stderr, "closed", True):
        sys.stderr = text(2)


def flush():
    for stream in {id(s): s for s in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)}.values():
        try:
            stream.flush()
        except Exception:  # it is closed, or the code's own and broken
            pass


class Sources:
    """The code of late runs, for the lines in tracebacks. Each has a name of its
    own, as functions live on beyond the run that has defined them."""

    limit = 4 << 20  # characters

    def __init__(self):
        self.count = 0
        self.names = []
        self.size = 0

    def add(self, source):
        self.count += 1
        name = f"<stdin-{self.count}>"
        # Each line with its end, without which tracebacks mark the wrong columns.
        lines = io.StringIO(source + "\n", newline=None).readlines()
        linecache.cache[name] = (len(source), None, lines, name)
        self.names.append(name)
        self.size += len(source)
        while self.size > self.limit and len(self.names) > 1:
            self.size -= linecache.cache.pop(self.names.pop(0), (0,))[0]
        return name


def describe(error, compiled):
    """An exception as the agent passes it on. Of the traceback only the frames of
    the code and of modules beside it are of interest."""
    import re
    import traceback

    library = os.path.dirname(os.__file__) + os.sep

    def own(frame):
        name = frame.filename
        if name.startswith("<"):
            return name.startswith("<stdin-")
        return not (name.startswith(library) or "/site-packages/" in name or "/dist-packages/" in name)

    try:
        value = str(error)
    except BaseException:
        value = ""
    try:
        whole = traceback.TracebackException(type(error), error, error.__traceback__)
        if not compiled:
            lines = list(whole.format_exception_only())[-1:]
        else:
            chain = [whole]
            for one in chain:
                one.stack[:] = [frame for frame in one.stack if own(frame)]
                chain += [e for e in (one.__cause__, one.__context__) if e is not None]
                chain += getattr(one, "exceptions", None) or ()
            lines = list(whole.format())
    except BaseException:  # the exception's own code raises another, or it is too deep
        lines = [f"{type(error).__name__}: {value}\n"]

    def clean(text):
        text = re.sub(r"<stdin-\d+>", "<stdin>", text)
        if len(text) > 1 << 14:
            text = text[: 1 << 13] + "\n[...]\n" + text[-(1 << 13) :]
        return text

    return {"type": "error", "name": type(error).__name__, "value": clean(value), "traceback": clean("".join(lines))}


def end_child(error):
    """Ends a process that the code has made by os.fork: the agent knows nothing of it."""
    code = 0
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    elif error is not None:
        error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next  # without execute
        sys.excepthook(type(error), error, error.__traceback__)
        code = 1
    flush()
    os._exit(code & 0xFF)


def set_variables(values):
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def execute(source, variables):
    """Runs source as the body of a module; returns what is to be told of its end."""
    before = {name: os.environ.get(name) for name in variables}
    set_variables(variables)
    failure, code = None, None
    try:
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            code = compile(source, sources.add(source), "exec", dont_inherit=True)
            exec(code, main.__dict__)
        finally:
            signal.signal(signal.SIGINT, idle)
    except BaseException as error:
        failure = error
    signal.signal(signal.SIGINT, idle)  # once more: an interrupt may have come first
    if os.getpid() != channel.pid:
        end_child(failure)
    set_variables(before)
    if failure is None:
        return None
    if isinstance(failure, SystemExit):
        if failure.code is not None and not isinstance(failure.code, int):
            os.write(2, f"{failure.code}\n".encode("utf-8", "backslashreplace"))
        return None
    if failure.__traceback__ is not None:
        failure.__traceback__ = failure.__traceback__.tb_next  # without this function
    return describe(failure, code is not None)


def idle(number, frame):
    """Takes an interrupt that comes when nothing runs."""


def serve():
    channel.send({"type": "ready"})
    while True:
        request = channel.receive()
        restore_streams()
        channel.last, channel.running = None, True
        told = execute(request["code"], request.get("envs") or {})
        flush()
        with channel.lock:
            channel.running = False
        if told is not None:
            channel.send(told)
        del told, request
        channel.send({"type": "done"})


channel = Channel(3)
spares = {fd: spare(fd) for fd in range(3)}
sources = Sources()
sys.stdout = sys.__stdout__ = text(1)
sys.stderr = sys.__stderr__ = text(2)
sys.argv = [""]
main = sys.modules["__main__"] = types.ModuleType("__main__")
signal.signal(signal.SIGINT, idle)
sys.addaudithook(before_program)
try:
    serve()
except EOFError:
    pass  # it ends as a program does: what is registered for that is done, and files are written
except OSError:
    os.write(2, b"the code has closed the interpreter's connection to the sandbox's agent\n")
    os._exit(1)
