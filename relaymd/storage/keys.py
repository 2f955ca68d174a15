"""Where everything lies in the store. No other module spells a key.

    jobs/{job}/input/bundle.tar.gz                          immutable
    jobs/{job}/checkpoints/packs/{epoch}-{round}/{hash}     chunks, one or many in one
    jobs/{job}/checkpoints/chunks/{hh}/{hash}               of earlier releases: read, not written
    jobs/{job}/checkpoints/manifests/{generation}-{epoch}-{hash}.json
    jobs/{job}/checkpoints/latest                           a pointer, for people
    jobs/{job}/outputs/{epoch}/…                            the results, as they were named
    jobs/{job}/outputs/{epoch}.json                         their index, written last
    jobs/{job}/failures/{epoch}/…, {epoch}.json             likewise
    jobs/{job}/logs/{epoch}/{stream}/{offset}-{size}

What is written under a lease carries its epoch: a zombie cannot change what its successor
relies on, nor does a successor rely on what a zombie may still remove.
"""

import re

from relaymd.core.ids import Epoch, Generation, JobId

_EPOCH = re.compile(r"[0-9]{6,15}")
_PIECE = re.compile(r"([0-9]{1,18})(?:-[0-9]{1,18})?")


def job(id: JobId) -> str:
    return f"jobs/{id}/"


def bundle(id: JobId) -> str:
    return f"jobs/{id}/input/bundle.tar.gz"


def checkpoints(id: JobId) -> str:
    return f"jobs/{id}/checkpoints/"


def pack(id: JobId, epoch: Epoch, round: int, name: str) -> str:
    """By lease and content: nobody else's upload is replaced by it, nor removed with it."""
    return f"jobs/{id}/checkpoints/packs/{epoch:06d}-{round:06d}/{name}"


def chunk(id: JobId, digest: str) -> str:
    return f"jobs/{id}/checkpoints/chunks/{digest[:2]}/{digest}"


def manifest(id: JobId, generation: Generation, epoch: Epoch, digest: str) -> str:
    """By its content too: an upload that was given up may still land after the next one."""
    name = f"{generation:08d}-{epoch:06d}-{digest[:16]}"
    return f"jobs/{id}/checkpoints/manifests/{name}.json"


def latest(id: JobId) -> str:
    return f"jobs/{id}/checkpoints/latest"


def outputs(id: JobId, epoch: Epoch | None = None) -> str:
    return f"jobs/{id}/outputs/" + (f"{epoch:06d}/" if epoch is not None else "")


def failures(id: JobId, epoch: Epoch | None = None) -> str:
    return f"jobs/{id}/failures/" + (f"{epoch:06d}/" if epoch is not None else "")


def logs(id: JobId) -> str:
    return f"jobs/{id}/logs/"


def log_piece(id: JobId, epoch: Epoch, stream: str, offset: int, size: int) -> str:
    """With its size, so that a longer piece from the same offset stands beside a shorter one."""
    return f"jobs/{id}/logs/{epoch:06d}/{stream}/{offset:015d}-{size:09d}"


def log_stream(id: JobId, epoch: Epoch, stream: str) -> str:
    return f"jobs/{id}/logs/{epoch:06d}/{stream}/"


def logged_epoch(id: JobId, key: str) -> Epoch | None:
    """The lease of whose output this key is; None: of none."""
    name, slash, _ = key.removeprefix(logs(id)).partition("/")
    if not (slash and _EPOCH.fullmatch(name)):
        return None
    epoch = Epoch(int(name))
    return epoch if key.startswith(f"{logs(id)}{epoch:06d}/") else None


def piece_offset(stream: str, key: str) -> int | None:
    """Where a piece of that stream (a prefix) begins, by its key; None: it is no piece of it."""
    found = _PIECE.fullmatch(key.removeprefix(stream))
    return int(found[1]) if found else None


def index(tree: str) -> str:
    """What lies under a tree of outputs or failures; beside it, so that no file can clash."""
    return f"{tree.removesuffix('/')}.json"
