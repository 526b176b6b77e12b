"""The Terraform example: read, and what it hands to CloudFormation deployed; with `--terraform` by terraform itself.

Without terraform nothing shows that it evaluates the expressions as the test below does, nor that the provider calls AWS with them.
"""

import base64
import hashlib
import re
import shutil
import subprocess

import hcl2
import pytest

import template
import zips
from cloud import FUNCTIONS, Stack

EXAMPLE = template.ROOT / "infra/terraform/main.tf"
# Terraform's own, and the provider's for each resource and source of data (those that the example could use):
# https://developer.hashicorp.com/terraform/language/meta-arguments
# https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/s3_object
# https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/cloudformation_stack
META = {"for_each", "count", "depends_on", "provider", "lifecycle"}
ARGUMENTS = {
    "aws_s3_object": {"bucket", "key", "source", "content", "content_type", "etag", "source_hash", "kms_key_id", "server_side_encryption", "tags"},
    "aws_cloudformation_stack": {"name", "template_body", "template_url", "parameters", "capabilities", "policy_body", "policy_url", "disable_rollback",
                                 "notification_arns", "on_failure", "iam_role_arn", "tags", "timeout_in_minutes"},
    "aws_region": {"region"},
    "aws_partition": set(),
}
ATTRIBUTES = {"aws_s3_object": {"key"}, "aws_cloudformation_stack": {"outputs", "id"}, "aws_region": {"name"}, "aws_partition": {"dns_suffix", "partition"}}


@pytest.fixture(scope="module")
def example():
    """(kind, name) of each block and what is in it; a resource's kind is its type."""
    with open(EXAMPLE) as file:
        read = hcl2.load(file)
    found = {}
    for kind in ("variable", "output"):
        found |= {(kind, name.strip('"')): block for each in read[kind] for name, block in each.items()}
    for kind in ("resource", "data"):
        found |= {(type_.strip('"'), name.strip('"')): block for each in read[kind] for type_, named in each.items() for name, block in named.items()}
    return found | {("local", name): {"value": value} for each in read["locals"] for name, value in each.items() if not name.startswith("__")}


def test_whatever_the_example_refers_to_is_there(example):
    text = re.sub(r"#.*", "", EXAMPLE.read_text())
    for kind, name in re.findall(r"\b(var|local)\.(\w+)", text):
        assert ({"var": "variable"}.get(kind, kind), name) in example, f"{kind}.{name}"
    for type_, name, attribute in re.findall(r"\b(aws_\w+)\.(\w+)(?:\.(\w+))?", text):
        assert (type_, name) in example, f"{type_}.{name}"
        assert not attribute or attribute in ATTRIBUTES[type_], f"{type_}.{name}.{attribute}"
    for path in re.findall(r"\$\{path\.module\}/([^\"]+)", text):
        assert (EXAMPLE.parent / path).is_file(), path
    for (type_, name), block in example.items():
        if type_.startswith("aws_"):
            assert {key for key in block if not key.startswith("__")} <= ARGUMENTS[type_] | META, f"{type_}.{name}"


def test_what_it_says_of_parameters_is_so(example):
    parameters = template.load()["Parameters"]
    named = set(re.findall(r"\b[A-Z][a-z]+(?:[A-Z][a-z]+)+\b|\bArchitecture\b", example["variable", "parameters"]["description"]))
    assert named and named <= parameters.keys()
    # Only what is given is handed on; the rest has the template's defaults, for which every parameter needs one.
    assert example["variable", "parameters"]["default"] == {} and example["aws_cloudformation_stack", "app"]["parameters"] == "${var.parameters}"
    assert all("Default" in each for each in parameters.values())


def test_what_it_hands_to_cloudformation_is_deployed(cloud, example):
    body, app = template.TEMPLATE.read_text(), example["aws_cloudformation_stack", "app"]
    replaced = re.findall(r'"(\.\./target/lambda/(\w+)/)", "(s3://[^"]*?)\$\{local\.keys\["(\w+)"\]\}"', example["local", "template"]["value"])
    assert {own for _, own, _, key in replaced if own == key} == set(FUNCTIONS)
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="read-releases")
    for was, name, prefix, _ in replaced:
        assert body.count(was) == 1, was
        body = body.replace(was, prefix.replace("${var.bucket}", "read-releases") + f"read/{name}.zip")
        s3.put_object(Bucket="read-releases", Key=f"read/{name}.zip", Body=zips.packed(name.encode()))
    s3.put_object(Bucket="read-releases", Key="read/template.yaml", Body=body.encode())
    policy = re.fullmatch(r'\$\{file\("\$\{path\.module\}/(.*)"\)\}', app["policy_body"])[1]
    cloudformation = cloud.client("cloudformation")
    cloudformation.create_stack(
        StackName="read", TemplateURL=f"{cloud.url}/read-releases/read/template.yaml", Capabilities=[each.strip('"') for each in app["capabilities"]],
        StackPolicyBody=(EXAMPLE.parent / policy).read_text(), Parameters=[{"ParameterKey": "NamePrefix", "ParameterValue": "read"}])
    cloudformation.get_waiter("stack_create_complete").wait(StackName="read")
    stack = Stack(cloud, "read")
    assert stack.resources().keys() == {name for name, each in template.expand(template.load())["Resources"].items() if "Condition" not in each} | {"TasksTable"}
    assert "Update:Replace" in cloudformation.get_stack_policy(StackName="read")["StackPolicyBody"]
    code = cloud.client("lambda").get_function_configuration(FunctionName="read-token")["CodeSha256"]
    assert code == base64.b64encode(hashlib.sha256(zips.packed(b"token")).digest()).decode()
    cloudformation.delete_stack(StackName="read")
    cloudformation.get_waiter("stack_delete_complete").wait(StackName="read")

# What talks to a local AWS; the example leaves the provider to its user.
PROVIDER = """
provider "aws" {
  s3_use_path_style           = true
  skip_credentials_validation = true
  skip_requesting_account_id  = true
}
"""


@pytest.mark.real
@pytest.mark.terraform
def test_terraform_creates_updates_and_destroys_the_stack(cloud, functions, request, tmp_path):
    infra = tmp_path / "infra"
    shutil.copytree(template.ROOT / "infra/terraform", infra / "terraform", ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*"))
    for name in ("template.yaml", "stack-policy.json"):
        shutil.copy(template.ROOT / "infra" / name, infra / name)
    (infra / "terraform/provider.tf").write_text(PROVIDER)
    release = tmp_path / "release"
    release.mkdir()
    for name in FUNCTIONS:
        (release / f"{name}.zip").write_bytes(zips.packed(functions(name)))
    cloud.client("s3").create_bucket(Bucket="releases")

    def terraform(*words):
        environment = cloud.environment | {"AWS_REGION": template.REGION, "TF_CLI_CONFIG_FILE": "/dev/null"}
        run = subprocess.run(["terraform", f"-chdir={infra}/terraform", *words], env=environment, capture_output=True, text=True, timeout=300)
        assert run.returncode == 0, run.stdout + run.stderr

    variables = [f"-var=release={release}", "-var=bucket=releases", "-var=stack=by-terraform", '-var=parameters={"NamePrefix": "tf", "LogRetentionDays": "90"}']
    terraform("init", f"-plugin-dir={request.config.getoption('--terraform')}")
    terraform("apply", "-auto-approve", *variables)
    stack = Stack(cloud, "by-terraform")
    assert (stack.parameters["LogRetentionDays"], stack.outputs["TokenFunction"]) == ("90", "tf-token")
    assert "Update:Replace" in cloud.client("cloudformation").get_stack_policy(StackName="by-terraform")["StackPolicyBody"]
    code = lambda: cloud.client("lambda").get_function_configuration(FunctionName="tf-webhook")["CodeSha256"]
    before = code()
    (release / "webhook.zip").write_bytes(zips.packed(functions("webhook") + b"\0"))
    terraform("apply", "-auto-approve", *variables)
    assert code() != before
    terraform("destroy", "-auto-approve", *variables)
    assert stack.outputs["TasksTable"] in cloud.tables()
