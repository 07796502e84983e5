"""Serve the page on the local address only, unless a host is given."""

import contextlib
import socket
import sys
import warnings
import webbrowser
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cloze.checkpoint.pretrained import read_pretrained
from cloze.config.schema import Demo
from cloze.config.trust import import_packages
from cloze.errors import InputError
from cloze.files.bounded import read_text
from cloze.inference.predictor import Inference, checked_model
from cloze.retrieval.index import Index, model_of
from cloze.runtime.distribution import installation
from cloze.runtime.spinner import waiting

LOOPBACK = ("127.0.0.1", "::1", "localhost")
MOST_SENTENCES = 20_000
FIRST_MODEL = "runs/tiny-pydocs/model"
"""Of `make pretrain`."""

POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; connect-src 'self'; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
"""The browser itself refuses every address but this one; the library compiles its templates in the page."""


def serve(config: Demo) -> None:
    """Serve the page until Ctrl-C.

    Args:
        config: the root of `conf/demo.yaml`, resolved and checked.

    Raises:
        InputError: for what only the model, the machine, the port or a file of texts can show to be wrong.
    """
    folder = _checked_folder(config)
    sentences = read_sentences(config.sentences)
    trust = import_packages(config.trust)
    with _listening(config.host, config.port) as listener:
        inference = Inference.on(config.hardware)
        with waiting("reading the model"):
            pretrained = read_pretrained(Path(folder))
            path = config.index
            index = None if path is None else Index(Path(path), pretrained, inference, held=True)
        from cloze.demo.reader import Reader  # late: a folder that cannot be read is reported sooner

        reader = Reader(pretrained, inference, top_k=config.top_k, index=index, trust=trust)
        for task, reason in reader.off.items():
            print(f"note: the tab for {task} is off: {reason}", file=sys.stderr)
        if sentences:
            from cloze.text.progress import ConsoleProgress

            with ConsoleProgress() as progress:
                reader.vectors(sentences, lambda done, total: progress("reading sentences", done, total))
        from cloze.demo.page import build

        _run(listener, lambda: build(reader, sentences, config.sentences), config)


def _checked_folder(config: Demo) -> str:
    """The folder of the model, once everything is fine that can be checked before anything is read."""
    if find_spec("nicegui") is None:
        raise InputError(f"cloze-demo needs the package nicegui, which is not installed: {installation('demo')}")
    unnamed = FIRST_MODEL if config.index is None else model_of(Path(config.index))
    folder = checked_model(config.hardware, config.model, unnamed=unnamed)
    if config.top_k < 1:
        raise InputError(f"top_k={config.top_k}: must be at least 1")
    if not 0 <= config.port <= 65535:
        raise InputError(f"port={config.port}: must be from 0, for any free one, to 65535")
    return folder


def read_sentences(path: str | None) -> list[str]:
    """The lines of a file, without blank ones and what is said twice.

    Raises:
        InputError: it cannot be read, is empty, or has more than ``MOST_SENTENCES`` lines.
    """
    if path is None:
        return []
    try:
        lines = read_text(Path(path), "utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InputError(
            f"sentences={path}: cannot be read ({reason}); give a text file, one sentence a line"
        ) from error
    found = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not found:
        raise InputError(f"sentences={path}: is empty; give a text file, one sentence a line")
    if len(found) > MOST_SENTENCES:
        raise InputError(
            f"sentences={path}: has {len(found):,} sentences, but the page takes {MOST_SENTENCES:,}; take fewer "
            "(cloze-features writes the hidden states of any number)"
        )
    return found


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """The port, taken before the model is read.

    Raises:
        InputError: another program has it, or there is no such host here.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind)
    except OSError as error:
        raise InputError(f"host={host}: is no address of this machine ({error.strerror}); leave it out") from error
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # else a port stays taken after the end
        try:
            listener.bind(address)
            listener.listen()
        except OSError as error:
            raise InputError(
                f"port={port}: cannot be taken on {host} ({error.strerror}); give another one, or port=0 for any that "
                "is free"
            ) from error
        yield listener


def _run(listener: socket.socket, build: Callable[[], None], config: Demo) -> None:
    import uvicorn

    host, port = listener.getsockname()[:2]
    shown = config.host if ":" not in config.host else f"[{config.host}]"
    url = f"http://{shown}:{port}"

    def ready() -> None:
        print(f"The demo is at {url} (Ctrl-C ends it)", file=sys.stderr, flush=True)
        if config.open:
            webbrowser.open(url)

    app = application({"/": build}, ready, is_private=host in LOOPBACK)
    settings = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2)
    uvicorn.Server(settings).run(sockets=[listener])


def application(pages: Mapping[str, Callable[[], None]], ready: Callable[[], None], *, is_private: bool) -> Any:
    """What uvicorn serves; once in a process, for the library keeps its pages there.

    Args:
        pages: by their paths what draws them.
        ready: called when they can be visited.
        is_private: nobody is let in who came by another name than this machine's own.
    """
    from fastapi import FastAPI
    from nicegui import ui
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        ready()
        yield

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)

    @app.middleware("http")
    async def guarded(request: Any, call_next: Callable[[Any], Awaitable[Any]]) -> Any:
        response = await call_next(request)
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        return response

    if is_private:  # a page of the web may give its own name this address ("DNS rebinding")
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", "[::1]"])
    # At its start the library looks at every object there is, and torch's old names complain of being looked at.
    warnings.filterwarnings("ignore", message="`torch.distributed.reduce_op` is deprecated", category=FutureWarning)
    for path, build in pages.items():
        ui.page(path)(build)
    ui.run_with(
        app,
        title="cloze demo",
        favicon="🧩",
        dark=None,
        tailwind=False,
        reconnect_timeout=60,
        show_welcome_message=False,
    )
    return app
