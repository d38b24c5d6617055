"""Proves the default image from inside a sandbox: every promised Python package
is imported, every Node tool is started, and pip and npm work without root.

Run in the sandbox as its user: python3 verify.py slim|desktop|full. Prints a table of
versions; exits with 1 when anything is missing.
"""

import importlib
import importlib.metadata
import subprocess
import sys
import time

# What the guide lists: the package's name, and the module that it is imported by.
PYTHON = {
    "anthropic": "anthropic",
    "beautifulsoup4": "bs4",
    "claude-agent-sdk": "claude_agent_sdk",
    "daytona": "daytona",
    "django": "django",
    "flask": "flask",
    "huggingface-hub": "huggingface_hub",
    "instructor": "instructor",
    "keras": "keras",
    "langchain": "langchain",
    "llama-index": "llama_index.core",
    "matplotlib": "matplotlib.pyplot",
    "numpy": "numpy",
    "ollama": "ollama",
    "openai": "openai",
    "opencv-python": "cv2",
    "pandas": "pandas",
    "pillow": "PIL.Image",
    "pydantic-ai": "pydantic_ai",
    "requests": "requests",
    "scikit-learn": "sklearn",
    "scipy": "scipy",
    "seaborn": "seaborn",
    "sqlalchemy": "sqlalchemy",
    "torch": "torch",
    "transformers": "transformers",
}
NODE = {
    "@anthropic-ai/claude-code": "claude --version",
    "bun": "bun --version",
    "openclaw": "openclaw --version",
    "opencode-ai": "opencode --version",
    "ts-node": "cd $(mktemp -d) && echo 'const n: number = 42; console.log(n)' >x.ts && ts-node x.ts | grep -x 42",
    "typescript": "tsc --version",
    "typescript-language-server": "typescript-language-server --version",
}
SLIM_NODE = ["ts-node", "typescript", "typescript-language-server"]
# What all variants promise.
SYSTEM = {
    "user": 'test "$(id -un)" = daytona && id -un',
    "sudo": 'test "$(sudo -n id -u)" = 0 && echo "without a password"',
    "python >= 3.13": "python -c 'import sys; assert sys.version_info >= (3, 13); print(sys.version.split()[0])'",
    "node >= 24": "node -e 'console.log(process.version); process.exit(+(parseInt(process.versions.node) < 24))'",
    "npm": "npm --version",
    "git": "git --version",
    "curl": "curl --version | head -n 1 | cut -d ' ' -f 1-2",
    "ripgrep": "rg --version | head -n 1",
    "python-lsp-server": "pylsp --version",
    "pip as the user": "pip install -q cowsay==6.1 && cowsay -t moo >/dev/null && which cowsay",
    "npm as the user": "npm install -g --silent semver@7.7.2 && semver 1.2.3 >/dev/null && which semver",
    "npx": "cd $(mktemp -d) && npx --yes semver@7.7.2 1.2.3",
}

# What a desktop needs (docs/desktop.md).
DESKTOP = {
    "a browser": "chromium --version",
    "a recorder": "ffmpeg -version | head -n 1",
    "a window toolkit": "python3 -c 'import tkinter; print(tkinter.TkVersion)'",
    "a display": "Xvfb -help 2>&1 | head -n 1 && command -v Xvfb openbox x11vnc websockify dbus-daemon",
    "a viewer": "test -f /usr/share/novnc/vnc.html && echo /usr/share/novnc",
    "accessibility": "test -x /usr/libexec/at-spi-bus-launcher && echo at-spi",
}

failed = 0


def report(name: str, said: str, began: float, ok: bool = True) -> None:
    global failed
    failed += not ok
    print(f"{'ok' if ok else 'FAILED':6} {name:28} {said} ({time.monotonic() - began:.1f} s)", flush=True)


def start(name: str, command: str) -> None:
    began = time.monotonic()
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, timeout=120)
    said = (done.stdout.strip() or done.stderr.strip()).splitlines()
    report(name, said[-1] if done.returncode == 0 and said else "\n".join(said), began, done.returncode == 0)


def load(name: str, module: str) -> None:
    began = time.monotonic()
    try:
        importlib.import_module(module)
        report(name, importlib.metadata.version(name), began)
    except Exception as e:
        report(name, f"{type(e).__name__}: {e}", began, ok=False)


def compute() -> None:
    """torch must compute, not only be there."""
    began = time.monotonic()
    import torch

    got = (torch.ones(64, 64) @ torch.ones(64, 64)).sum().item()
    report("torch computes", f"{got:.0f} on {torch.tensor(1).device}", began, got == 64**3)


def main(variant: str) -> int:
    for name, command in SYSTEM.items():
        start(name, command)
    for name in NODE if variant == "full" else SLIM_NODE:
        start(name, NODE[name])
    if variant != "slim":
        for name, command in DESKTOP.items():
            start(name, command)
    if variant == "full":
        for name, module in PYTHON.items():
            load(name, module)
        compute()
    print(f"{variant}: {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
