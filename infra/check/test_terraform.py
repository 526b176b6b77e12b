"""The Terraform example against the local AWS: a stack, an update of its code, and its end."""

import shutil
import subprocess

import pytest

import template
import zips
from cloud import FUNCTIONS, Stack

pytestmark = [pytest.mark.real, pytest.mark.terraform]

# What talks to a local AWS; the example leaves the provider to its user.
PROVIDER = """
provider "aws" {
  s3_use_path_style           = true
  skip_credentials_validation = true
  skip_requesting_account_id  = true
}
"""


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
