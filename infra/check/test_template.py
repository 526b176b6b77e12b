"""The template as it stands: linted raw and expanded, and held to this project's own rules."""

import importlib.machinery
import importlib.util
import os
import re
import subprocess
import sys
import pathlib
import types

import boto3
import pytest

import rules
import stack
import template
import verify


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


@pytest.mark.parametrize(("values", "words"), [
    ({"HttpsProxy": "http://user:password@proxy.example.com:3128"}, "HttpsProxy must be http:// or https://"),
    ({"KmsKeyArn": "alias/mine"}, "KmsKeyArn must be the ARN of a KMS key"),
    ({"RolePath": "apps"}, "RolePath must begin"),
    ({"HttpsProxy": "http://proxy.example.com:3128", "KmsKeyArn": "", "LogRetentionDays": "90", "TokenPolicy": "{}"}, None),
])
def test_a_value_that_does_not_fit_is_refused_without_being_said(deploy, values, words):
    if words:
        refused = pytest.raises(SystemExit, deploy.must_fit, values)
        assert words in str(refused.value) and not any(value in str(refused.value) for value in values.values())
    else:
        deploy.must_fit(values)


def test_every_default_fits(deploy):
    deploy.must_fit(deploy.template_defaults())


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
    there = types.SimpleNamespace(is_there=bool(has), parameters={"WebhookConcurrency": str(has)}, aws=types.SimpleNamespace(client=lambda _: functions))
    if is_refused:
        with pytest.raises(SystemExit, match="Service Quotas"):
            deploy.refuse_reservations(there, {"WebhookConcurrency": str(wants), "TokenConcurrency": "0"})
    else:
        deploy.refuse_reservations(there, {"WebhookConcurrency": str(wants), "TokenConcurrency": "0"})


def test_the_deploy_reads_the_defaults_that_the_template_has(deploy):
    assert deploy.template_defaults() == {name: str(each["Default"]) for name, each in template.load()["Parameters"].items()}


def test_every_state_of_a_stack_has_one_way_on():
    known = sorted(state for kind in stack.STATES.values() for state in kind["states"])
    assert known == sorted(boto3.client("cloudformation", region_name=template.REGION).meta.service_model.shape_for("StackStatus").enum)
    assert (stack.kind_of(None), stack.kind_of("REVIEW_IN_PROGRESS")) == ("absent", "absent")
    # What is deployed over is not waited for, and what is waited for is no success.
    assert all(("_IN_PROGRESS" in state) == (stack.kind_of(state) == "being changed") for state in known if state != "REVIEW_IN_PROGRESS")
    assert not any(state.endswith("_FAILED") and stack.STATES[stack.kind_of(state)].get("deploys") for state in known)


@pytest.mark.parametrize(("secret", "app"), [
    ({"verdict": "ok", "seen": "konduktor/1/app is well-formed, App ID 1"}, verify.KNOWN),
    ({"verdict": "failed", "seen": "konduktor/1/app cannot be used: it is empty", "next": "run `configure`"}, verify.EMPTY),
    ({"verdict": "failed", "seen": "could not be looked at", "next": "let their role do secretsmanager:GetSecretValue"}, verify.UNKNOWN),
    ({"verdict": "skipped", "needs": "stack"}, verify.UNKNOWN),
    (None, verify.UNKNOWN),
])
def test_an_app_that_could_not_be_looked_at_is_not_one_that_is_not_configured(secret, app, capsys):
    found, checks = verify.known({"app-secret": secret} if secret else {})
    assert (found, bool(checks), "Not verified: app-secret" in capsys.readouterr().out) == (app, app == verify.KNOWN, app == verify.UNKNOWN)


@pytest.mark.parametrize(("before", "after", "is_taken_back"), [
    ("ok", "failed", True), ("unproven", "failed", True), ("failed", "failed", False), ("skipped", "failed", False), ("ok", "unproven", False)])
def test_what_held_or_may_have_held_is_what_a_deploy_must_not_break(before, after, is_taken_back):
    findings = lambda verdict: verify.Findings(verify.KNOWN, {"token": {"name": "token", "verdict": verdict}})
    assert bool(findings(after).red_since(findings(before))) == is_taken_back


@pytest.mark.parametrize(("status", "is_protected", "words"), [
    ("UPDATE_COMPLETE", True, "--no-enable-termination-protection"),
    ("UPDATE_IN_PROGRESS", False, "wait until it is done"),
    ("UPDATE_COMPLETE", False, None),
    ("REVIEW_IN_PROGRESS", False, None),
    ("DELETE_IN_PROGRESS", False, None),
])
def test_a_stack_that_cannot_be_deleted_now_loses_nothing(deploy, status, is_protected, words):
    there = types.SimpleNamespace(status=status, kind=stack.kind_of(status), is_protected=is_protected, advice=stack.STATES[stack.kind_of(status)]["next"])
    if words:
        with pytest.raises(SystemExit, match=words):
            deploy.refuse_half_an_end(there, None, [])
    else:
        deploy.refuse_half_an_end(there, None, [])
