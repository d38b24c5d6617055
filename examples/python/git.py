"""A repository in a sandbox: clone it, change it on a branch, push it.

Needs `pip install daytona`, and DAYTONA_API_URL and DAYTONA_API_KEY, which
eval "$(daytona env)" sets. The remote is a bare repository in the same sandbox,
so the example needs no account anywhere; use the https:// URL of yours, and give
username and password to clone, pull and push.
"""

from daytona import Daytona, DaytonaError

sandbox = Daytona().create()
try:
    git = sandbox.git
    git.init("origin.git", bare=True, initial_branch="main")

    git.clone("./origin.git", "project")
    sandbox.fs.upload_file(b"# Project\n", "project/README.md")
    git.add("project", ["README.md"])
    first = git.commit("project", "First commit", "Ada", "ada@example.com")
    git.push("project", set_upstream=True)
    print("pushed", first.sha[:7])

    git.create_branch("project", "feature")
    sandbox.fs.upload_file(b"print('hello')\n", "project/hello.py")
    for file in git.status("project").file_status:
        print(file.name, file.worktree.value)
    git.add("project", ["."])
    git.commit("project", "Say hello", "Ada", "ada@example.com")
    git.push("project", branch="feature", set_upstream=True)

    git.checkout_branch("project", "main")
    print("branches:", ", ".join(git.branches("project").branches))
    git.clone("./origin.git", "copy", branch="feature")
    print(sandbox.process.exec("git log --format=%s", cwd="copy").result, end="")

    try:
        git.checkout_branch("project", "no-such-branch")
    except DaytonaError as error:
        print("refused:", error.status_code)
finally:
    sandbox.delete()
