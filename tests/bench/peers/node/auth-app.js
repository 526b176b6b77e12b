// The token function's work with @octokit/auth-app, which keeps tokens in the environment's memory:
// https://github.com/octokit/auth-app.js#readme
const { SecretsManagerClient, GetSecretValueCommand } = require("@aws-sdk/client-secrets-manager");

const ready = (async () => {
  // Both are ES modules.
  const [{ createAppAuth }, { request }] = await Promise.all([import("@octokit/auth-app"), import("@octokit/request")]);
  const secrets = new SecretsManagerClient({});
  const { SecretString } = await secrets.send(new GetSecretValueCommand({ SecretId: process.env.APP_SECRET_ID }));
  const { app_id: appId, installation_id: installationId, private_key: privateKey } = JSON.parse(SecretString);
  const github = request.defaults({ baseUrl: process.env.GITHUB_API_URL });
  return createAppAuth({ appId, installationId, privateKey, request: github });
})();

exports.handler = async ({ repositories, permissions }) => {
  const auth = await ready;
  const { token, expiresAt } = await auth({ type: "installation", repositoryNames: repositories, permissions });
  return { token, expires_at: expiresAt };
};
