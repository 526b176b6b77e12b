"""The functions as Lambda takes them: one zip each, of the same bytes wherever and whenever it is made of the same executable."""

import hashlib
import io
import pathlib
import zipfile

FUNCTIONS = ("webhook", "reconcile", "token")
SUMS = "SHA256SUMS"
# The processor stands in the executable's header (e_machine).
PROCESSORS = {b"\x3e": "x86_64", b"\xb7": "arm64"}


class Unusable(Exception):
    """What is wrong with a function, and what to do."""


def packed(executable: bytes) -> bytes:
    """A zip with the executable as `bootstrap`. The time in it is fixed: Lambda compares hashes."""
    entry = zipfile.ZipInfo("bootstrap", (1980, 1, 1, 0, 0, 0))
    entry.create_system, entry.external_attr = 3, 0o100755 << 16
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(entry, executable, zipfile.ZIP_DEFLATED, 9)
        return file.getvalue()


def executable(zipped: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(zipped)) as archive:
        return archive.read("bootstrap")


def built(root: pathlib.Path) -> dict[str, bytes]:
    """What `make build` made."""
    found = {}
    for function in FUNCTIONS:
        path = root / "target" / "lambda" / function / "bootstrap"
        if not path.is_file():
            raise Unusable(f"{path} is not there: say make build first.")
        found[function] = packed(path.read_bytes())
    return found


def downloaded(folder: pathlib.Path) -> dict[str, bytes]:
    """The zips of a release, if they are what its SHA256SUMS says."""
    try:
        lines = (folder / SUMS).read_text().splitlines()
        found = {function: (folder / f"{function}.zip").read_bytes() for function in FUNCTIONS}
    except OSError as error:
        raise Unusable(f"{error.filename} cannot be read: ZIPS names a folder as `make dist` makes it.") from error
    sums = dict(reversed(line.split(maxsplit=1)) for line in lines)
    for function, zipped in found.items():
        if sums.get(f"{function}.zip") != hashlib.sha256(zipped).hexdigest():
            raise Unusable(f"{folder}/{function}.zip is not what {SUMS} says: download it again.")
    return found


def processor(zips: dict[str, bytes]) -> str:
    """What all of them were built for. A function that was built for another processor than its stack's never starts."""
    kinds = {}
    for function, zipped in zips.items():
        code = executable(zipped)
        if code[:4] != b"\x7fELF" or code[18:19] not in PROCESSORS:
            raise Unusable(f"The executable of {function} is not for Lambda: say make build.")
        kinds[function] = PROCESSORS[code[18:19]]
    if len(set(kinds.values())) > 1:
        listed = ", ".join(f"{function} for {kind}" for function, kind in kinds.items())
        raise Unusable(f"Not all were built for one processor ({listed}): say make build ARCHITECTURE=… again.")
    return next(iter(kinds.values()))
