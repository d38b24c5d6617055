"""A language server in a sandbox: the symbols of a project, and what may stand at a
place in a file.

Needs `pip install daytona`, and DAYTONA_API_URL and DAYTONA_API_KEY, which
eval "$(daytona env)" sets. The image needs pylsp; the default snapshots have it.
"""

from daytona import Daytona, LspCompletionPosition

SOURCE = b"""class Greeter:
    def greet(self, name: str) -> str:
        return "hello " + name


g = Greeter()
g.
"""

sandbox = Daytona().create()
try:
    sandbox.fs.upload_file(SOURCE, "project/greeter.py")
    server = sandbox.create_lsp_server("python", "project")
    server.start()

    server.did_open("project/greeter.py")
    for symbol in server.document_symbols("project/greeter.py"):
        print(symbol.name, "in line", symbol.location.range.start.line + 1)
    # Lines and characters begin with 0.
    for item in server.completions("project/greeter.py", LspCompletionPosition(line=6, character=2)).items:
        if not item.label.startswith("__"):
            print("g." + item.label)
    server.did_close("project/greeter.py")

    for symbol in server.sandbox_symbols("Greeter"):
        print("found", symbol.name, "in", symbol.location.uri)
    server.stop()
finally:
    sandbox.delete()
