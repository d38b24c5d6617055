"""Git, by both clients: each method of theirs is called."""

import shlex
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest
from daytona import (
    AsyncDaytona,
    CreateSandboxFromImageParams,
    Daytona,
    DaytonaConflictError,
    DaytonaError,
    DaytonaNotFoundError,
    DaytonaValidationError,
    Image,
)
from daytona.common.errors import (
    DaytonaGitAuthFailedError,
    DaytonaGitBranchExistsError,
    DaytonaGitBranchNotFoundError,
    DaytonaGitDirtyWorktreeError,
    DaytonaGitMergeConflictError,
    DaytonaGitPushRejectedError,
    DaytonaGitRemoteRejectedError,
    DaytonaGitRepoNotFoundError,
    DaytonaGitTransportFailedError,
)

from conftest import IMAGE, done

pytestmark = pytest.mark.methods

SERVER = (Path(__file__).parents[1] / "git_server.py").read_bytes()
USER, PASSWORD = "octo-user", "p%ss w/o=rd'\"$(x)é"
URL = "http://127.0.0.1:8420"
GIT = "git -c user.name=T -c user.email=t@example.com"


@dataclass
class Box:
    """A sandbox, and the commits of its server by name."""

    git: object
    fs: object
    process: object
    commits: dict[str, str]


@pytest.fixture(params=["sync", "async"])
async def box(request, daytona: Daytona, async_daytona: AsyncDaytona) -> AsyncIterator[Box]:
    """A sandbox of either client, in which a git server runs with a repository of
    two commits on main, a branch and a tag, at /public.git and at /private.git."""
    client = daytona if request.param == "sync" else async_daytona
    sandbox = await done(client.create(timeout=120))
    try:
        await done(sandbox.fs.upload_file(SERVER, "/tmp/server/git_server.py"))
        made = f"""set -e; cd /tmp/server; git init -q -b main work; cd work
            echo one >file; git add file; {GIT} commit -q -m first; git tag v1
            git checkout -q -b feature; echo x >feature; git add feature; {GIT} commit -q -m feature
            git checkout -q main; echo two >file; {GIT} commit -q -a -m second
            for name in public private; do
              git clone -q --bare . ../$name.git; git -C ../$name.git config http.receivepack true
            done
            cd ..; setsid -f python3 git_server.py 8420 /tmp/server {USER} {shlex.quote(PASSWORD)} >log 2>&1
            curl -s --retry 20 --retry-delay 1 --retry-all-errors -o /dev/null {URL}/
            git -C work rev-parse main feature v1"""
        started = await done(sandbox.process.exec(made))
        assert started.exit_code == 0, started.result
        commits = dict(zip(["second", "feature", "first"], started.result.split(), strict=True))
        yield Box(sandbox.git, sandbox.fs, sandbox.process, commits)
    finally:
        await done(sandbox.delete())


async def run(box, command: str) -> str:
    answer = await done(box.process.exec(command))
    assert answer.exit_code == 0, answer.result
    return answer.result.strip()


async def advance(box, name: str, file: str) -> str:
    """Adds a commit to main of a served repository."""
    return await run(
        box,
        f"set -e; d=$(mktemp -d); git clone -q /tmp/server/{name}.git $d; cd $d; echo x >{file}; git add {file}; "
        f"{GIT} commit -q -m 'advance {file}'; git push -q; git rev-parse HEAD",
    )


async def commit(box, path: str, file: str, text: str) -> str:
    await done(box.fs.upload_file(text.encode(), f"{path}/{file}"))
    await done(box.git.add(path, [file]))
    return (await done(box.git.commit(path, f"write {file}", "Ada", "ada@example.com"))).sha


async def test_clone(box):
    git = box.git
    await done(git.clone(f"{URL}/public.git", "workspace/repo"))
    status = await done(git.status("workspace/repo"))
    assert (status.current_branch, status.upstream, status.branch_published) == ("main", "origin/main", True)
    assert (status.ahead, status.behind, status.detached, status.file_status) == (0, 0, False, [])
    assert (await done(box.fs.get_file_info("workspace/repo"))).is_dir
    assert await run(box, "stat -c %U workspace workspace/repo/file workspace/repo/.git/config | sort -u") == "daytona"

    await done(git.clone(f"{URL}/public.git", "branch", branch="feature"))
    assert (await done(git.status("branch"))).current_branch == "feature"
    for path, options in {
        "full": {"commit_id": box.commits["first"]},
        "short": {"commit_id": box.commits["feature"][:8]},
        "deep": {"commit_id": box.commits["first"], "depth": 1},
    }.items():
        await done(git.clone(f"{URL}/public.git", path, **options))
        status = await done(git.status(path))
        assert (status.current_branch, status.detached) == ("HEAD", True)
        assert (await run(box, f"git -C {path} rev-parse HEAD")).startswith(options["commit_id"])
    await done(git.clone(f"{URL}/public.git", "shallow", depth=1))
    assert await run(box, "git -C shallow rev-list --count HEAD") == "1"
    await done(git.clone(f"{URL}/public.git", "unverified", insecure_skip_tls=True))


async def test_what_cannot_be_cloned_leaves_nothing(box):
    git = box.git
    await done(git.clone(f"{URL}/public.git", "taken"))
    for kind, url, options in [
        (DaytonaGitRepoNotFoundError, f"{URL}/none.git", {}),
        (DaytonaGitBranchNotFoundError, f"{URL}/public.git", {"branch": "none"}),
        (DaytonaNotFoundError, f"{URL}/public.git", {"commit_id": "ab" * 20}),
        (DaytonaGitAuthFailedError, f"{URL}/private.git", {}),
        (DaytonaGitAuthFailedError, f"{URL}/private.git", {"username": USER, "password": "wrong"}),
        (DaytonaGitTransportFailedError, "http://127.0.0.1:9/x.git", {}),
        (DaytonaConflictError, f"{URL}/public.git", {"path": "taken"}),
        (DaytonaValidationError, "ext::sh -c id", {}),
    ]:
        with pytest.raises(kind):
            await done(git.clone(url, options.pop("path", "made/for/it"), **options))
        assert await run(box, "ls") == "taken"


async def test_a_password_works_and_is_nowhere(box):
    git = box.git
    given = {"username": USER, "password": PASSWORD}
    await done(git.clone(f"{URL}/private.git", "repo", **given))
    new = await advance(box, "private", "theirs")
    with pytest.raises(DaytonaGitAuthFailedError):
        await done(git.pull("repo"))
    await done(git.pull("repo", **given))
    assert await run(box, "git -C repo rev-parse HEAD") == new
    mine = await commit(box, "repo", "mine", "x\n")
    with pytest.raises(DaytonaGitAuthFailedError):
        await done(git.push("repo"))
    await done(git.push("repo", **given))
    assert await run(box, "git -C /tmp/server/private.git rev-parse main") == mine
    # What the server's own command line has does not count.
    found = await done(box.process.exec(f"grep -rlF -e {shlex.quote(PASSWORD)} ~ /tmp --exclude-dir=server"))
    assert (found.exit_code, found.result) == (1, "")
    await done(git.dangerously_authenticate(USER, PASSWORD, host="127.0.0.1:8420", protocol="http"))
    await done(git.pull("repo"))
    assert await run(box, "git config --global credential.helper; stat -c %a ~/.git-credentials") == "store\n600"


async def test_work_on_a_branch(box):
    git = box.git
    await done(git.clone(f"{URL}/public.git", "repo"))
    await done(git.create_branch("repo", "work"))
    branches = await done(git.branches("repo"))
    assert (branches.branches, branches.current) == (["main", "work"], "work")
    with pytest.raises(DaytonaGitBranchExistsError):
        await done(git.create_branch("repo", "main"))
    await done(box.fs.upload_file("hällo\n".encode(), "repo/sub/ä b.txt"))
    await done(box.fs.upload_file(b"changed\n", "repo/file"))
    files = {f.name: f for f in (await done(git.status("repo"))).file_status}
    assert (files["sub/ä b.txt"].staging.value, files["sub/ä b.txt"].worktree.value) == ("Untracked", "Untracked")
    assert (files["file"].staging.value, files["file"].worktree.value) == ("Unmodified", "Modified")
    with pytest.raises(DaytonaGitDirtyWorktreeError):
        await done(git.checkout_branch("repo", "v1"))
    await done(git.add("repo", ["."]))
    files = {f.name: f for f in (await done(git.status("repo"))).file_status}
    assert (files["sub/ä b.txt"].staging.value, files["file"].staging.value) == ("Added", "Modified")
    made = await done(git.commit("repo", "Two files", "Ada", "ada@example.com"))
    assert (
        await run(box, "git -C repo log -1 --format='%H %an <%ae> %s'") == f"{made.sha} Ada <ada@example.com> Two files"
    )
    with pytest.raises(DaytonaValidationError, match="nothing to commit"):
        await done(git.commit("repo", "Nothing", "Ada", "ada@example.com"))
    empty = await done(git.commit("repo", "Nothing", "Ada", "ada@example.com", allow_empty=True))
    await done(git.push("repo", branch="work", remote="origin", set_upstream=True))
    assert await run(box, "git -C /tmp/server/public.git rev-parse work") == empty.sha
    assert (await done(git.status("repo"))).upstream == "origin/work"
    await done(git.checkout_branch("repo", "main"))
    await done(git.delete_branch("repo", "work"))
    assert (await done(git.branches("repo"))).branches == ["main"]
    await done(git.checkout_branch("repo", box.commits["first"]))
    status = await done(git.status("repo"))
    assert (status.current_branch, status.detached) == ("HEAD", True)
    assert not (await done(git.branches("repo"))).current
    for call in [git.checkout_branch, git.delete_branch]:
        with pytest.raises(DaytonaGitBranchNotFoundError):
            await done(call("repo", "none"))
    with pytest.raises(DaytonaGitRepoNotFoundError):
        await done(git.status("nowhere"))


async def test_push_and_pull_that_are_refused(box):
    git = box.git
    await done(git.clone(f"{URL}/public.git", "repo"))
    theirs = await advance(box, "public", "theirs")
    await commit(box, "repo", "mine", "x\n")
    with pytest.raises(DaytonaGitPushRejectedError):
        await done(git.push("repo"))
    with pytest.raises(DaytonaGitMergeConflictError):
        await done(git.pull("repo"))
    await done(git.reset("repo", mode="hard", target="HEAD~1"))
    await done(box.fs.upload_file(b"in the way\n", "repo/theirs"))
    with pytest.raises(DaytonaGitDirtyWorktreeError):
        await done(git.pull("repo", branch="main", remote="origin"))
    await run(box, "rm repo/theirs")
    await done(git.pull("repo"))
    assert await run(box, "git -C repo rev-parse HEAD") == theirs
    hook = "/tmp/server/public.git/hooks/pre-receive"
    await done(box.fs.upload_file(b"#!/bin/sh\necho no such luck >&2; exit 1\n", hook))
    await commit(box, "repo", "more", "x\n")
    await done(box.fs.set_file_permissions(hook, "755"))
    with pytest.raises(DaytonaGitRemoteRejectedError, match="no such luck"):
        await done(git.push("repo"))
    with pytest.raises(DaytonaNotFoundError):
        await done(git.push("repo", remote="none"))


async def test_init_reset_and_restore(box):
    git = box.git
    await done(git.init("new/repo", initial_branch="trunk"))
    await done(git.init("bare.git", bare=True))
    with pytest.raises(DaytonaConflictError):
        await done(git.init("new/repo"))
    assert await run(box, "git -C bare.git rev-parse --is-bare-repository") == "true"
    status = await done(git.status("new/repo"))
    assert (status.current_branch, status.file_status, status.branch_published) == ("trunk", [], False)
    first = await commit(box, "new/repo", "file", "one\n")
    await commit(box, "new/repo", "file", "two\n")

    async def state() -> list[tuple]:
        return [(f.staging.value, f.worktree.value) for f in (await done(git.status("new/repo"))).file_status]

    await done(git.reset("new/repo", mode="soft", target="HEAD~1"))
    assert await state() == [("Modified", "Unmodified")]
    await done(git.reset("new/repo"))
    assert await state() == [("Unmodified", "Modified")]
    await done(git.add("new/repo", ["file"]))
    await done(git.reset("new/repo", files=["file"]))
    assert await state() == [("Unmodified", "Modified")]
    await done(git.add("new/repo", ["file"]))
    await done(git.restore("new/repo", ["file"], staged=True))
    assert await state() == [("Unmodified", "Modified")]
    await done(git.restore("new/repo", ["file"]))
    assert await state() == [] and await done(box.fs.download_file("new/repo/file")) == b"one\n"
    await done(git.reset("new/repo", mode="hard", target=first))
    await done(box.fs.upload_file(b"three\n", "new/repo/file"))
    await done(git.restore("new/repo", ["file"], staged=True, worktree=True, source="HEAD"))
    assert await state() == []
    with pytest.raises(DaytonaValidationError):
        await done(git.reset("new/repo", mode="gentle"))
    with pytest.raises(DaytonaValidationError):
        await done(git.restore("new/repo", ["none"]))


async def test_remotes_and_settings(box):
    git = box.git
    await done(git.init("repo", initial_branch="main"))
    assert (await done(git.remotes("repo"))).remotes == []
    await done(git.remote_add("repo", "origin", "example.com/x.git"))
    assert await done(git.remote_get("repo", "origin")) == "https://example.com/x.git"
    assert await done(git.remote_get("repo", "none")) is None
    with pytest.raises(DaytonaConflictError):
        await done(git.remote_add("repo", "origin", f"{URL}/public.git"))
    await done(git.remote_add("repo", "origin", f"{URL}/public.git", fetch=True, overwrite=True))
    assert [(r.name, r.url) for r in (await done(git.remotes("repo"))).remotes] == [("origin", f"{URL}/public.git")]
    await done(git.checkout_branch("repo", "feature"))
    assert (await done(git.status("repo"))).upstream == "origin/feature"

    assert await done(git.get_config("user.name")) is None
    await done(git.configure_user("Ada", "ada@example.com"))
    await done(git.configure_user("Local", "local@example.com", scope="local", path="repo"))
    await done(git.set_config("some.sub.key", "-x\ny"))
    assert await done(git.get_config("some.sub.key")) == "-x\ny"
    assert await done(git.get_config("user.email")) == "ada@example.com"
    assert await done(git.get_config("user.email", scope="local", path="repo")) == "local@example.com"
    assert await run(box, "git -C repo config user.name; git config user.name") == "Local\nAda"
    for key, options in {"name": {}, "a.b": {"scope": "none"}, "b.a": {"scope": "local"}}.items():
        with pytest.raises(DaytonaValidationError):
            await done(git.set_config(key, "x", **options))


async def test_a_clone_that_nobody_waits_for_ends(box):
    """The client's own limit closes the connection; the server behind never answers."""
    listens = "import socket,time; s=socket.socket(); s.bind(('127.0.0.1',8421)); s.listen(); time.sleep(600)"
    await run(box, f'setsid -f python3 -c "{listens}" >/dev/null 2>&1; sleep 1')
    with pytest.raises(DaytonaError):
        await done(box.git.clone("http://127.0.0.1:8421/x.git", "deep/x", request_timeout=2))
    patience = time.time() + 20
    while (left := await done(box.process.exec("ls -d deep; pgrep -f 'git.*8421'"))).result.strip().isdigit():
        assert time.time() < patience, left.result
        time.sleep(0.2)
    assert await run(box, "ls -d deep 2>/dev/null; true") == ""


def test_an_image_without_git_says_how_to_get_it(daytona: Daytona):
    bare = Image.base(IMAGE).dockerfile_commands(["RUN rm -f /usr/bin/git"])
    sandbox = daytona.create(CreateSandboxFromImageParams(image=bare), timeout=300)
    try:
        with pytest.raises(DaytonaValidationError, match="this sandbox has no git: install it"):
            sandbox.git.init("repo")
    finally:
        sandbox.delete()


def test_history_has_no_method_and_answers_all_the_same(shared):
    """The SDKs have none for this route; clients of the API do."""
    shared.git.init("told", initial_branch="main")
    shared.git.commit("told", "first\n\nand more\n", "Ada", "ada@example.com", allow_empty=True)
    [told] = shared.git._api_client.get_commit_history("told")
    assert (told.author, told.email, told.message) == ("Ada", "ada@example.com", "first\n\nand more\n")
    assert datetime.fromisoformat(told.timestamp).tzinfo
    shared.fs.delete_file("told", recursive=True)
