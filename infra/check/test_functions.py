"""The functions as `make build` made them: that Amazon Linux 2023 can start them, and that another folder makes the same.

That they stay small is held by `tests/bench/guard`.

That two builds are the same bytes is not tried here, it takes a second build; what told them apart whenever it was tried were paths.
"""

import os
import pathlib
import re
import subprocess

import pytest

import template
from cloud import FUNCTIONS

pytestmark = pytest.mark.real

# https://docs.aws.amazon.com/linux/al2023/ug/core-glibc.html
GLIBC = (2, 34)
# What it has of the libraries that Rust links: https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html
LIBRARIES = {"libc.so.6", "libdl.so.2", "libgcc_s.so.1", "libm.so.6", "libpthread.so.0", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
# What the Makefile puts in the place of this machine's folders.
INSTEAD = {"/src", "/target", "/cargo"}


def folders():
    """Those of this machine that a build takes its sources from."""
    given = (os.environ.get(name) for name in ("CARGO_TARGET_DIR", "CARGO_HOME", "RUSTUP_HOME", "CHECK_VENV"))
    return {str(each) for each in (template.ROOT, pathlib.Path.home(), *filter(None, given))} - INSTEAD


def troubles(path):
    """Why Lambda would not start this executable, or start it late."""
    read = subprocess.run(["readelf", "--wide", "--dynamic", "--version-info", path], capture_output=True, text=True, check=True).stdout
    versions = {tuple(map(int, each.split("."))) for each in re.findall(r"Name: GLIBC_([\d.]+)", read)}
    if not versions:
        yield "names no version of glibc"
    elif max(versions) > GLIBC:
        yield f"needs glibc {max(versions)}"
    if others := set(re.findall(r"\(NEEDED\).*\[(.*)\]", read)) - LIBRARIES:
        yield f"needs {', '.join(sorted(others))}"
    code = path.read_bytes()
    for folder in folders():
        if f"{folder}/".encode() in code:
            yield f"names {folder}, which is elsewhere on the next machine: other bytes of the same commit"


@pytest.fixture(params=FUNCTIONS)
def bootstrap(request):
    return template.ROOT / request.config.getoption("--functions") / request.param / "bootstrap"


def test_lambda_starts_it_and_another_folder_makes_the_same(bootstrap):
    assert list(troubles(bootstrap)) == []


@pytest.mark.parametrize(("mistake", "change"), [
    ("needs glibc (2, 99)", lambda code: re.sub(rb"\0GLIBC_2\.\d\d\0", b"\0GLIBC_2.99\0", code)),
    ("needs libx.so.6", lambda code: code.replace(b"\0libc.so.6\0", b"\0libx.so.6\0")),
    ("names ", lambda code: code + f"{template.ROOT}/shared/domain/src/lib.rs".encode()),
    ("names ", lambda code: code + f"{pathlib.Path.home()}/.cargo/registry/src/x/lib.rs".encode()),
], ids=("glibc", "library", "path", "home"))
def test_mistake_is_caught(bootstrap, mistake, change, tmp_path):
    changed = tmp_path / "bootstrap"
    changed.write_bytes(change(bootstrap.read_bytes()))
    assert any(mistake in each for each in troubles(changed))
