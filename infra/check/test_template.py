"""The template as it stands: linted raw and expanded, and held to this project's own rules."""

import importlib.machinery
import importlib.util
import os
import re
import subprocess
import sys
import pathlib
import types

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


def test_the_bill_adds_up_and_counts_what_the_template_has(expanded):
    readme = (template.ROOT / "infra/README.md").read_text()
    section = readme.partition("## What it costs")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("| ")]
    last = lambda cell: float(re.findall(r"\d+\.\d\d(?!\d)", cell)[-1])
    *items, (_, _, small, big) = rows[1:]
    assert (round(sum(last(row[2]) for row in items), 2), round(sum(last(row[3]) for row in items), 2)) == (last(small), last(big))
    assert last(small) <= 2.00
    # Each price has its source.
    assert [row[0] for row in items if not re.fullmatch(r"\[.+\]\(https://aws\.amazon\.com/[a-z/-]+/pricing/([a-z-]+/)?\)", row[1])] == []
    counts = {"Alarms": "AWS::CloudWatch::Alarm", "Metrics of our own": "AWS::Logs::MetricFilter", "Secrets": "AWS::SecretsManager::Secret"}
    for name, kind in counts.items():
        assert f"| {name}, {len(rules.of_type(expanded, kind))} |" in readme


def test_every_alarm_and_every_parameter_of_an_organisation_is_explained(expanded):
    readme = (template.ROOT / "infra/README.md").read_text()
    for alarm in rules.of_type(expanded, rules.ALARM).values():
        assert "`" + alarm["Properties"]["AlarmName"]["Fn::Sub"].removeprefix("${NamePrefix}-") + "`" in readme
    groups = template.load()["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    for name in next(each["Parameters"] for each in groups if each["Label"]["default"] == "House rules"):
        assert f"`{name}`" in readme


@pytest.fixture(scope="module")
def deploy():
    loader = importlib.machinery.SourceFileLoader("deploy", str(template.ROOT / "infra/deploy"))
    deploy = importlib.util.module_from_spec(importlib.util.spec_from_loader("deploy", loader))
    loader.exec_module(deploy)
    return deploy


@pytest.mark.parametrize(("account", "left", "has", "wants", "is_refused"), [
    (1000, 1000, 0, 900, False),
    (1000, 1000, 0, 901, True),
    (1000, 500, 400, 800, False),
    (1000, 500, 400, 801, True),
    (1000, 100, 5, 4, False),
    # A new account keeps all that it has.
    (10, 10, 0, 0, False),
    (10, 10, 0, 1, True),
    (200, 150, 0, 51, True),
])
def test_no_more_is_reserved_than_the_account_has_to_give(deploy, account, left, has, wants, is_refused):
    limit = {"ConcurrentExecutions": account, "UnreservedConcurrentExecutions": left}
    functions = types.SimpleNamespace(get_account_settings=lambda: {"AccountLimit": limit})
    stack = types.SimpleNamespace(is_there=bool(has), parameters={"WebhookConcurrency": str(has)}, aws=types.SimpleNamespace(client=lambda _: functions))
    if is_refused:
        with pytest.raises(SystemExit, match="Service Quotas"):
            deploy.refuse_reservations(stack, {"WebhookConcurrency": str(wants), "TokenConcurrency": "0"})
    else:
        deploy.refuse_reservations(stack, {"WebhookConcurrency": str(wants), "TokenConcurrency": "0"})


def test_the_deploy_reads_the_defaults_that_the_template_has(deploy):
    assert deploy.template_defaults() == {name: str(each["Default"]) for name, each in template.load()["Parameters"].items()}
