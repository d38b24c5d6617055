"""Previews: ports of a sandbox on the web."""

import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator

import pytest
from daytona import AsyncDaytona, Daytona, DaytonaNotFoundError, Sandbox

PORT = 8123
SERVER = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"{self.headers['Host']} {self.headers.get('X-Daytona-Preview-Token')}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(("127.0.0.1", %d), Handler).serve_forever()
"""


def fetch(url: str, **headers: str) -> tuple[int, str]:
    """Fetches the URL from the server at its port of this machine: glibc alone
    knows no names below localhost."""
    asked = urllib.parse.urlsplit(url)
    at = asked._replace(netloc=f"127.0.0.1:{asked.port}").geturl()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(at, headers={"Host": asked.netloc, **named})
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()


def serve(sandbox: Sandbox) -> None:
    sandbox.fs.upload_file((SERVER % PORT).encode(), "server.py")
    started = sandbox.process.exec(
        "setsid python3 server.py >server.log 2>&1 & "
        f"for i in $(seq 100); do (echo >/dev/tcp/127.0.0.1/{PORT}) 2>/dev/null && exit; sleep 0.1; done; exit 1"
    )
    assert started.exit_code == 0, started.result


@pytest.fixture(scope="module")
def served(daytona: Daytona) -> Iterator[Sandbox]:
    sandbox = daytona.create(timeout=120)
    serve(sandbox)
    yield sandbox
    sandbox.delete()


def test_a_private_preview_opens_to_its_token(served: Sandbox):
    link = served.get_preview_link(PORT)
    assert link.sandbox_id == served.id and link.url.startswith(f"http://{PORT}-{served.id}.")
    host = urllib.parse.urlsplit(link.url).netloc
    assert fetch(link.url, X_Daytona_Preview_Token=link.token) == (200, f"{host} None")
    assert fetch(link.url)[0] == 401
    assert fetch(link.url, X_Daytona_Preview_Token=link.token[::-1])[0] == 401


def test_nothing_listens(served: Sandbox):
    link = served.get_preview_link(PORT + 1)
    status, text = fetch(link.url, X_Daytona_Preview_Token=link.token)
    assert status == 502 and f"port {PORT + 1}" in text


def test_a_signed_url_needs_no_token_until_it_is_expired(served: Sandbox):
    signed = served.create_signed_preview_url(PORT, expires_in_seconds=3600)
    assert signed.sandbox_id == served.id and signed.port == PORT
    assert fetch(signed.url)[0] == 200
    served.expire_signed_preview_url(PORT, signed.token)
    assert fetch(signed.url)[0] == 401
    with pytest.raises(DaytonaNotFoundError):
        served.expire_signed_preview_url(PORT, signed.token)


def test_a_public_sandbox_needs_none(served: Sandbox):
    url = served.get_preview_link(PORT).url
    served.set_public(True)
    assert fetch(url)[0] == 200
    served.set_public(False)
    assert fetch(url)[0] == 401


def test_the_token_ends_with_the_sandboxes_stop(daytona: Daytona, sandbox: Sandbox):
    serve(sandbox)
    old = sandbox.get_preview_link(PORT)
    assert fetch(old.url, X_Daytona_Preview_Token=old.token)[0] == 200
    sandbox.stop()
    new = sandbox.get_preview_link(PORT)
    assert fetch(new.url, X_Daytona_Preview_Token=new.token)[0] == 409
    sandbox.start()
    serve(sandbox)
    assert fetch(new.url, X_Daytona_Preview_Token=new.token)[0] == 200
    assert fetch(old.url, X_Daytona_Preview_Token=old.token)[0] == 401


def test_port_2280_is_the_toolbox(served: Sandbox):
    """One of the official SDKs opens its streams there."""
    link = served.get_preview_link(2280)
    assert fetch(f"{link.url}/version")[0] == 401
    status, text = fetch(f"{link.url}/version", X_Daytona_Preview_Token=link.token)
    assert status == 200 and "version" in text
    other = served.get_preview_link(PORT)
    assert fetch(f"{link.url}/version", X_Daytona_Preview_Token=other.token)[0] == 401


async def test_the_async_client(async_daytona: AsyncDaytona, served: Sandbox):
    sandbox = await async_daytona.get(served.id)
    link = await sandbox.get_preview_link(PORT)
    assert fetch(link.url, X_Daytona_Preview_Token=link.token)[0] == 200
    signed = await sandbox.create_signed_preview_url(PORT)
    assert fetch(signed.url)[0] == 200
    await sandbox.expire_signed_preview_url(PORT, signed.token)
    assert fetch(signed.url)[0] == 401
