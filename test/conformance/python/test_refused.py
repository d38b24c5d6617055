"""What the server does not have yet is refused with a reason, not taken for something that is missing."""

from types import SimpleNamespace

import pytest
from daytona import CreateSecretParams, DaytonaError, DaytonaNotFoundError, UpdateSecretParams

from conftest import done

pytestmark = pytest.mark.methods


@pytest.mark.parametrize(
    ("why", "call"),
    [
        ("volumes", lambda c, s: c.volume.list()),
        ("volumes", lambda c, s: c.volume.get("data", create=True)),
        ("volumes", lambda c, s: c.volume.create("data")),
        ("volumes", lambda c, s: c.volume.delete(SimpleNamespace(id="data"))),
        ("secrets", lambda c, s: c.secret.list(limit=5)),
        ("secrets", lambda c, s: c.secret.get("one")),
        ("secrets", lambda c, s: c.secret.create(CreateSecretParams(name="ONE", value="x"))),
        ("secrets", lambda c, s: c.secret.update("one", UpdateSecretParams(value="y"))),
        ("secrets", lambda c, s: c.secret.delete("one")),
        ("secrets", lambda c, s: s.update_secrets({"ONE": "one"})),
        ("access by SSH", lambda c, s: s.create_ssh_access(expires_in_minutes=5)),
        ("access by SSH", lambda c, s: s.revoke_ssh_access("token")),
        ("access by SSH", lambda c, s: s.validate_ssh_access("token")),
        ("archives", lambda c, s: s.archive()),
        ("way to pause", lambda c, s: s.pause()),
        ("way to pause", lambda c, s: s.set_auto_pause_interval(5)),
        ("telemetry", lambda c, s: s.get_metrics()),
    ],
)
async def test_refused(client, either, why: str, call):
    # The SDK lets errors of the generated clients through in places.
    with pytest.raises(Exception, match=f"This server has no [a-z ]*{why}") as refused:
        await done(call(client, either))
    assert not isinstance(refused.value, DaytonaNotFoundError)
    status = getattr(refused.value, "status_code", None) or getattr(refused.value, "status", None)
    assert status == 501


async def test_a_sandbox_that_is_well_has_nothing_to_recover(either):
    with pytest.raises(DaytonaError, match="is started, not in error"):
        await done(either.recover())
