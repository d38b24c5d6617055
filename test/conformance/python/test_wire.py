"""What official SDKs send that cannot be installed for these tests, as far as it differs from what the others send.

The streams of the Ruby SDK are at port 2280 of the sandbox's previews.
"""

import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import aiohttp
import pytest
from daytona import Daytona, Sandbox, SessionExecuteRequest

RUBY = {"X-Daytona-Source": "sdk-ruby", "X-Daytona-SDK-Version": "0.205.0"}
EXIT_CONTROL = "X-Daytona-Pty-Exit-Control"


@asynccontextmanager
async def stream(sandbox: Sandbox, path: str, *protocols: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A WebSocket as the Ruby SDK opens it, to the server at its port of this machine."""
    link = sandbox.get_preview_link(2280)
    asked = urlsplit(link.url)
    headers = {**RUBY, "Host": asked.netloc, "X-Daytona-Preview-Token": link.token}
    async with aiohttp.ClientSession() as web:
        url = f"http://127.0.0.1:{asked.port}{path}"
        async with web.ws_connect(url, headers=headers, protocols=protocols, timeout=aiohttp.ClientWSTimeout(10)) as ws:
            yield ws


async def test_ruby_follows_logs_message_by_message(shared: Sandbox):
    session = f"session-{uuid.uuid4().hex[:8]}"
    shared.process.create_session(session)
    command = "for i in 1 2 3; do echo out$i; echo err$i >&2; sleep 0.1; done"
    request = SessionExecuteRequest(command=command, run_async=True)
    started = shared.process.execute_session_command(session, request)
    parts: dict[bytes, bytes] = {b"\1\1\1": b"", b"\2\2\2": b""}
    path = f"/process/session/{session}/command/{started.cmd_id}/logs?follow=true"
    async with stream(shared, path) as logs:
        async for message in logs:
            data = message.data.encode() if message.type is aiohttp.WSMsgType.TEXT else message.data
            parts[data[:3]] += data[3:]
        assert logs.close_code == 1000
    assert parts == {b"\1\1\1": b"out1\nout2\nout3\n", b"\2\2\2": b"err1\nerr2\nerr3\n"}
    shared.process.delete_session(session)


async def test_ruby_and_java_type_into_a_terminal(shared: Sandbox):
    """Java types in text frames, the others in binary ones."""
    terminal = f"terminal-{uuid.uuid4().hex[:8]}"
    path = f"/process/pty/create-connect?id={terminal}&cols=99&rows=33"
    async with stream(shared, path, EXIT_CONTROL) as ws:
        assert ws.protocol == EXIT_CONTROL
        first = await ws.receive(timeout=10)
        assert json.loads(first.data) == {"type": "control", "status": "connected"}
        await ws.send_bytes(b"stty size; ")
        await ws.send_str("exit 3\n")
        output, control = b"", []
        async for message in ws:
            if message.type is aiohttp.WSMsgType.BINARY:
                output += message.data
            else:
                control.append(json.loads(message.data))
        assert b"33 99" in output
        assert control == [{"type": "control", "status": "exited", "exitCode": 3, "exitReason": "non-zero exit"}]
        assert ws.close_code == 1011


async def test_a_stream_without_the_token_is_refused(daytona: Daytona, shared: Sandbox):
    other = daytona.create()
    try:
        asked, token = urlsplit(shared.get_preview_link(2280).url), other.get_preview_link(2280).token
        url = f"http://127.0.0.1:{asked.port}/process/pty/create-connect?id=x&cols=80&rows=24"
        async with aiohttp.ClientSession() as web:
            for given in ({}, {"X-Daytona-Preview-Token": token}):
                with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                    await web.ws_connect(url, headers={**RUBY, "Host": asked.netloc, **given})
                assert refused.value.status == 401
    finally:
        other.delete()
