"""Reads the template as people write it and as AWS would deploy it, and lints either."""

import copy
import json
import os
import pathlib

import cfnlint
import yaml
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "infra" / "template.yaml"
REGION = "us-east-1"


def load() -> dict:
    """The SAM template; intrinsic functions in their long form (`{"Ref": ...}`)."""
    return json.loads(json.dumps(yaml_parse(TEMPLATE.read_text())))


def expand(sam: dict) -> dict:
    """The plain CloudFormation that AWS makes of it."""
    sam = copy.deepcopy(sam)
    for resource in sam["Resources"].values():
        # What `sam package` does: the transform takes code from S3 only.
        if resource["Type"] == "AWS::Serverless::Function" and "CodeUri" in resource["Properties"]:
            resource["Properties"]["CodeUri"] = {"Bucket": "packages", "Key": "bootstrap.zip"}
    os.environ.setdefault("AWS_DEFAULT_REGION", REGION)
    return json.loads(json.dumps(transform(sam, {}, None)))


def lint(template: dict, regions=(REGION,)) -> list[str]:
    """cfn-lint's findings, warnings included, as `E3012 at Resources/...`."""
    matches = cfnlint.lint(json.dumps(template), regions=list(regions))
    return [f"{match.rule.id} at {'/'.join(map(str, match.path or []))}: {match.message}" for match in matches]


class _Dumper(yaml.SafeDumper):
    # CloudFormation takes no YAML aliases, and PyYAML writes them for every value that is used twice.
    def ignore_aliases(self, data):
        return True


def dump(template: dict) -> str:
    """The template as YAML that the SAM command reads."""
    return yaml.dump(template, Dumper=_Dumper, sort_keys=False)
