"""The template as it stands: linted raw and expanded, and held to this project's own rules."""

import os
import subprocess
import sys
import pathlib

import pytest

import rules
import template


@pytest.fixture(scope="module")
def expanded():
    return template.expand(template.load())


def test_sam_validate_finds_nothing():
    sam = pathlib.Path(sys.executable).with_name("sam")
    run = subprocess.run(
        [sam, "validate", "--lint", "--template", template.TEMPLATE, "--region", template.REGION],
        capture_output=True, text=True, env=os.environ | {"SAM_CLI_TELEMETRY": "0"},
    )
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("region", rules.PARTITIONS)
def test_cfn_lint_finds_nothing_in_the_expanded_template(expanded, region):
    assert template.lint(expanded, [region]) == []


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
def test_rule(rule, expanded):
    assert list(rule(expanded)) == []


def test_no_yaml_alias_is_left_for_cloudformation_to_refuse():
    import yaml

    events = yaml.parse(template.TEMPLATE.read_text())
    assert [event.start_mark.line + 1 for event in events if isinstance(event, yaml.AliasEvent)] == []
