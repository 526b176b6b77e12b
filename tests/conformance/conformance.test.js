// Real payloads and real clients against the running functions. The local stack says where they are:
// WEBHOOK_URL, WEBHOOK_SECRET, GITHUB_API_URL, APP_ID, INSTALLATION_ID, PRIVATE_KEY.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import test from "node:test";

import { createAppAuth } from "@octokit/auth-app";
import { request } from "@octokit/request";
import { sign } from "@octokit/webhooks-methods";

const examples = createRequire(import.meta.url)("@octokit/webhooks-examples");
const { WEBHOOK_URL, WEBHOOK_SECRET, GITHUB_API_URL, APP_ID, INSTALLATION_ID, PRIVATE_KEY } = process.env;

async function deliver(name, payload) {
  const body = JSON.stringify(payload);
  const response = await fetch(WEBHOOK_URL, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      "x-github-event": name,
      "x-github-delivery": crypto.randomUUID(),
      "x-hub-signature-256": await sign(WEBHOOK_SECRET, body),
    },
    body,
  });
  return { status: response.status, json: await response.json() };
}

test("every example that octokit publishes is answered in words, and every pull_request is taken", async () => {
  let delivered = 0;
  for (const { name, examples: payloads } of examples) {
    for (const payload of payloads) {
      const { status, json } = await deliver(name, payload);
      const where = `${name}.${payload.action ?? ""}: ${status} ${JSON.stringify(json)}`;
      assert.ok(status === 200 || (status === 400 && name !== "pull_request"), where);
      assert.equal(typeof json.outcome, "string", where);
      delivered += 1;
    }
  }
  assert.equal(delivered, 329);
  assert.equal(examples.length, 58);
});

test("a signature of octokit's for another body is refused", async () => {
  const response = await fetch(WEBHOOK_URL, {
    method: "POST",
    headers: { "x-github-event": "ping", "x-hub-signature-256": await sign(WEBHOOK_SECRET, "{}") },
    body: '{"zen":"Anything added dilutes everything else.","hook_id":1}',
  });
  assert.equal(response.status, 401);
});

test("octokit's own App authentication mints a token at the fake GitHub", async () => {
  const auth = createAppAuth({
    appId: APP_ID,
    privateKey: PRIVATE_KEY,
    request: request.defaults({ baseUrl: GITHUB_API_URL }),
  });
  const { token, expiresAt, permissions } = await auth({ type: "installation", installationId: INSTALLATION_ID });
  assert.match(token, /^ghs_/);
  assert.ok(Date.parse(expiresAt) > Date.now());
  assert.equal(permissions.contents, "read");
  const answer = await request("GET /installation/repositories", {
    baseUrl: GITHUB_API_URL,
    headers: { authorization: `token ${token}` },
  });
  assert.ok(answer.data.total_count >= 1);
});

test("octokit with another key is refused as GitHub refuses it", async () => {
  const { generateKeyPairSync } = await import("node:crypto");
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const auth = createAppAuth({
    appId: APP_ID,
    privateKey: privateKey.export({ type: "pkcs1", format: "pem" }),
    request: request.defaults({ baseUrl: GITHUB_API_URL }),
  });
  await assert.rejects(auth({ type: "installation", installationId: INSTALLATION_ID }), /could not be decoded/);
});
