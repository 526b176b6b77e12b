# The stack for those who keep everything in Terraform: the zips of a release (`make dist`) and the template go to a bucket, and
# CloudFormation, which the template is written for, does the rest. Secrets and tables stay CloudFormation's; no secret comes into
# Terraform's state. `make deploy` is not used beside it.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = { source = "hashicorp/aws", version = ">= 5.0" }
  }
}

variable "release" {
  description = "Folder with webhook.zip, reconcile.zip and token.zip."
  type        = string
}

variable "bucket" {
  description = "Bucket for the zips and the template, in the stack's region."
  type        = string
}

variable "stack" {
  description = "Name of the CloudFormation stack."
  type        = string
  default     = "konduktor-github-app"
}

variable "parameters" {
  description = "The template's parameters, as text. Architecture has to be what the zips were built for; NamePrefix never changes."
  type        = map(string)
  default     = {}
}

locals {
  functions = toset(["webhook", "reconcile", "token"])
  # A key by content: other code is another key, which is how CloudFormation sees that there is something to do.
  keys = { for name in local.functions : name => "${var.stack}/${name}-${filesha256("${var.release}/${name}.zip")}.zip" }
  # The template names what `make build` made; here it names what was uploaded.
  template = replace(replace(replace(
    file("${path.module}/../template.yaml"),
    "../target/lambda/webhook/", "s3://${var.bucket}/${local.keys["webhook"]}"),
    "../target/lambda/reconcile/", "s3://${var.bucket}/${local.keys["reconcile"]}"),
  "../target/lambda/token/", "s3://${var.bucket}/${local.keys["token"]}")
}

resource "aws_s3_object" "code" {
  for_each = local.functions
  bucket   = var.bucket
  key      = local.keys[each.key]
  source   = "${var.release}/${each.key}.zip"
}

# By URL: the body of a request takes 51,200 bytes.
resource "aws_s3_object" "template" {
  bucket  = var.bucket
  key     = "${var.stack}/${sha256(local.template)}.yaml"
  content = local.template
}

resource "aws_cloudformation_stack" "app" {
  name         = var.stack
  template_url = "https://s3.${data.aws_region.here.name}.${data.aws_partition.here.dns_suffix}/${var.bucket}/${aws_s3_object.template.key}"
  parameters   = var.parameters
  capabilities = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
  # As `make deploy` does: no update replaces a secret or a table.
  policy_body = file("${path.module}/../stack-policy.json")
  depends_on  = [aws_s3_object.code]
}

data "aws_region" "here" {}

data "aws_partition" "here" {}

output "outputs" {
  description = "The stack's outputs, such as ClientPolicy and WebhookUrl."
  value       = aws_cloudformation_stack.app.outputs
}
