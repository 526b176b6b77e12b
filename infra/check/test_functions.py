"""The functions as `make build` made them: that Amazon Linux 2023 can start them, and that they stay small."""

import os
import re
import subprocess
import zlib

import pytest

import template
from cloud import FUNCTIONS

pytestmark = pytest.mark.real

# https://docs.aws.amazon.com/linux/al2023/ug/core-glibc.html
GLIBC = (2, 34)
# What it has of the libraries that Rust links: https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html
LIBRARIES = {"libc.so.6", "libdl.so.2", "libgcc_s.so.1", "libm.so.6", "libpthread.so.0", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
# Deflated, which is what a cold start fetches.
LARGEST = 5_000_000


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
    if (size := len(zlib.compress(path.read_bytes(), 9))) > LARGEST:
        yield f"is {size} bytes deflated"


@pytest.fixture(params=FUNCTIONS)
def bootstrap(request):
    return template.ROOT / request.config.getoption("--functions") / request.param / "bootstrap"


def test_lambda_starts_it_soon(bootstrap):
    assert list(troubles(bootstrap)) == []


@pytest.mark.parametrize(("mistake", "change"), [
    ("needs glibc (2, 99)", lambda code: re.sub(rb"\0GLIBC_2\.\d\d\0", b"\0GLIBC_2.99\0", code)),
    ("needs libx.so.6", lambda code: code.replace(b"\0libc.so.6\0", b"\0libx.so.6\0")),
    ("bytes deflated", lambda code: code + os.urandom(LARGEST)),
], ids=("glibc", "library", "size"))
def test_mistake_is_caught(bootstrap, mistake, change, tmp_path):
    changed = tmp_path / "bootstrap"
    changed.write_bytes(change(bootstrap.read_bytes()))
    assert any(mistake in each for each in troubles(changed))
