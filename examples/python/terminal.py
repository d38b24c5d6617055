"""A terminal in a sandbox: type into it, leave it, come back, see it end.

Needs `pip install daytona`, and DAYTONA_API_URL and DAYTONA_API_KEY, which
eval "$(daytona env)" sets.
"""

from daytona import Daytona
from daytona.common.pty import PtySize

sandbox = Daytona().create()
try:
    pty = sandbox.process.create_pty_session("work", envs={"NAME": "Ada"}, pty_size=PtySize(rows=30, cols=100))
    pty.send_input("printf 'What is it? '; read answer\n")
    for data in pty:
        print(data.decode(), end="", flush=True)
        if data.endswith(b"What is it? "):
            break
    pty.disconnect()  # the shell goes on

    pty = sandbox.process.connect_pty_session("work")
    pty.send_input('a terminal\necho "$NAME has $answer of $(stty size)"; exit 3\n')
    ended = pty.wait(on_data=lambda data: print(data.decode(), end="", flush=True))
    print("exit code", ended.exit_code)
finally:
    sandbox.delete()
