import pathlib
import subprocess
import sys

import pytest

sys.path[:0] = [str(pathlib.Path(__file__).parent), str(pathlib.Path(__file__).parents[1])]

import template
from cloud import Cloud, GitHub

CATCHES: list[tuple[str, list[str]]] = []


def pytest_addoption(parser):
    parser.addoption("--functions", metavar="DIR", help="deploy the real functions built by `cargo lambda build` into DIR as well")
    parser.addoption("--binaries", metavar="DIR", default="target/debug", help="where `cargo build` put the command line and the local stack")
    parser.addoption("--calls", metavar="FILE", help="compare the template's grants with the calls that `make test` recorded in FILE")
    parser.addoption("--terraform", metavar="DIR", help="apply the Terraform example by terraform as well, with the providers in DIR")
    parser.addoption("--every-catch", action="store_true", help="ask every check about every planted mistake, not only until one catches it (3 min)")


def pytest_configure(config):
    config.addinivalue_line("markers", "real: needs the functions built; runs with --functions only")
    config.addinivalue_line("markers", "terraform: needs terraform and its provider; runs with --terraform only")
    config.addinivalue_line("markers", "recorded: needs the calls of the test suite; runs with --calls only")


def pytest_collection_modifyitems(config, items):
    for marker, option in (("real", "--functions"), ("recorded", "--calls"), ("terraform", "--terraform")):
        if not config.getoption(option):
            left_out = [item for item in items if item.get_closest_marker(marker)]
            config.hook.pytest_deselected(items=left_out)
            items[:] = [item for item in items if item not in left_out]


# One for each file: domains, people and functions have names that an account or a region has once.
@pytest.fixture(scope="module")
def cloud(request, tmp_path_factory):
    command_line = template.ROOT / request.config.getoption("--binaries") / "konduktor-github-app"
    with Cloud(tmp_path_factory.mktemp("cloud"), command_line).running() as cloud:
        yield cloud


@pytest.fixture(scope="session")
def functions(request):
    """What to deploy under each function's name: as built. A missing one fails: what was not deployed was not tested."""
    built = template.ROOT / request.config.getoption("--functions")
    return lambda name: (built / name / "bootstrap").read_bytes()


@pytest.fixture(scope="module")
def binaries(request):
    return template.ROOT / request.config.getoption("--binaries")


@pytest.fixture(scope="module")
def github(binaries):
    with subprocess.Popen([binaries / "stack", "github"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield GitHub(process)
        process.stdin.close()
        assert process.wait(20) == 0, "it was asked for something that GitHub does not have"


def pytest_terminal_summary(terminalreporter):
    if CATCHES:
        terminalreporter.write_sep("-", "which check catches which mistake")
        for mistake, catchers in CATCHES:
            terminalreporter.write_line(f"{mistake:64} {', '.join(catchers)}")
        for check in ("rules", "lint", "sam"):
            caught = sum(any(each.startswith(check) for each in catchers) for _, catchers in CATCHES)
            terminalreporter.write_line(f"caught by {check}: {caught} of {len(CATCHES)}")
