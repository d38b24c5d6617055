"""Python code in a sandbox whose state stays between runs.

Needs `pip install daytona`, and DAYTONA_API_URL and DAYTONA_API_KEY, which
eval "$(daytona env)" sets.
"""

from daytona import Daytona, DaytonaTimeoutError

sandbox = Daytona().create()
try:
    interpreter = sandbox.code_interpreter

    interpreter.run_code("import math\nradius = 2")
    print("area:", interpreter.run_code("print(round(math.pi * radius**2, 2))").stdout, end="")

    # Output comes while the code runs.
    interpreter.run_code(
        "import time\nfor step in range(3):\n    print('step', step)\n    time.sleep(0.2)",
        on_stdout=lambda message: print(message.output, end=""),
    )

    failed = interpreter.run_code("radius / 0")
    if failed.error:
        print(failed.error.name, failed.error.value, failed.error.traceback, sep="\n")

    # A context of its own has its own variables.
    context = interpreter.create_context(cwd="/tmp")
    print(interpreter.run_code("import os; print(os.getcwd())", context=context).stdout, end="")
    try:
        interpreter.run_code("kept = 1\nwhile True: pass", context=context, timeout=1)
    except DaytonaTimeoutError:
        print("after the timeout:", interpreter.run_code("print(kept)", context=context).stdout, end="")
    interpreter.delete_context(context)
finally:
    sandbox.delete()
