"""Whether a stack does its work: what the command line's `verify` finds, what its functions answer, and how it is put back."""

import dataclasses
import http.client
import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request

from botocore.exceptions import BotoCoreError, ClientError

from stack import ROOT, STACK, FUNCTIONS, stop

CLI = "konduktor-github-app"
# Whether the App is configured: the deploy of a stack that is not differs from one that nobody could look at.
EMPTY, UNKNOWN, KNOWN = "empty", "unknown", "known"
UNSIGNED = "is what an unsigned delivery is answered"
LOOK = "read the function's log"


@dataclasses.dataclass
class Findings:
    """Each check by its name, and what is known of the App."""

    app: str
    checks: dict

    def ok(self, *names):
        return all(self.checks.get(name, {}).get("verdict") == "ok" for name in names)

    def failed(self):
        return [check for check in self.checks.values() if check["verdict"] == "failed"]

    def red_since(self, before):
        """What fails and did not before. What could not be shown then may have held."""
        held = {name for name, check in before.checks.items() if check["verdict"] in ("ok", "unproven")}
        return [check for check in self.failed() if check["name"] in held]


def look(stack, url):
    """All that can be found; `url` is where the webhook has to answer."""
    app, checks = verify(stack, url)
    own = [webhook_answers(url), reconcile_answers(stack)]
    return Findings(app, checks | {check["name"]: check for check in own})


def found(name, verdict, seen, next=""):
    if verdict == "unproven":
        print(f"Not verified: {name}: {seen}", flush=True)
    return {"name": name, "verdict": verdict, "seen": seen, "next": next}


def webhook_answers(url):
    """A delivery without a signature: ours refuses it. A function that cannot start, or that reads no secret, answers otherwise.

    Deliveries on record are of the past, and a function's settings look the same whether it starts or not.
    """
    name = "webhook-answers"
    request = urllib.request.Request(url, data=b"{}", headers={"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=15) as response:
            status, body = response.status, response.read()
    except urllib.error.HTTPError as error:
        status, body = error.code, error.read()
    except (OSError, http.client.HTTPException) as error:
        return found(name, "unproven", f"no answer from {url}: {error}")
    if status == 429:
        return found(name, "unproven", f"{url} answers 429: others use the stage's throttle up")
    if status == 401 and b'"refused"' in body:
        return found(name, "ok", f"401 {UNSIGNED}")
    return found(name, "failed", f"{status} {UNSIGNED} at {url}, and not 401: {body[:200].decode(errors='replace')}", f"{LOOK}, or see where that name leads")


def reconcile_answers(stack):
    """A batch of the stream with nothing in it: the function starts, reads its settings, and has nothing to do."""
    name = "reconcile-answers"
    try:
        answer = stack.aws.client("lambda").invoke(FunctionName=stack.function("reconcile"), Payload=b'{"Records": []}')
    except (ClientError, BotoCoreError) as error:
        return found(name, "unproven", str(error))
    if "FunctionError" in answer:
        return found(name, "failed", answer["Payload"].read(300).decode(errors="replace"), LOOK)
    return found(name, "ok", "a batch with nothing in it is taken")


def command_line():
    """The command line of this checkout, else an installed one."""
    if own := os.environ.get("CLI"):
        return [own]
    if shutil.which("cargo") and (ROOT / "infra/cli/Cargo.toml").exists():
        return ["cargo", "run", "--quiet", "--locked", "--package", CLI, "--"]
    return [CLI] if shutil.which(CLI) else None


def unverified(reason):
    print(f"Not verified: {reason}", flush=True)
    return UNKNOWN, {}


def verify(stack, url):
    """What is known of the App, and each check of the command line's `verify` by its name."""
    # Then there is nothing to verify, and the command line may have to be built first.
    if not stack.aws.client("secretsmanager").describe_secret(SecretId=stack.outputs["AppSecret"]).get("VersionIdsToStages"):
        return EMPTY, {}
    command = command_line()
    if command is None:
        return unverified(f"{CLI} is not on the PATH (make install).")
    words = [*command, "verify", "--json", "--stack", STACK, "--region", stack.aws.region, "--webhook-url", url]
    try:
        run = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    except OSError as error:
        stop(f"{command[0]} cannot be started: {error}")
    try:
        checks = {check["name"]: check for check in json.loads(run.stdout)["checks"]}
    except (ValueError, KeyError):
        return unverified(run.stderr.strip()[-300:] or "verify printed nothing")
    return known(checks)


def known(checks):
    """Nobody may take an App whose secret could not be looked at for one that is not configured."""
    secret = checks.get("app-secret", {})
    if secret.get("verdict") == "ok":
        return KNOWN, checks
    if "it is empty" in (secret.get("seen") or ""):
        return EMPTY, {}
    return unverified(f"app-secret {secret.get('seen') or 'was not looked at'}: {secret.get('next') or 'see `verify`'}")


def say(checks):
    for check in checks:
        print(f"  {check['name']}: {check['seen']}\n    {check['next']}", flush=True)
