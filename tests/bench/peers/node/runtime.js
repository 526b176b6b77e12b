// The loop of a custom runtime (https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html): AWS's own client for
// Node.js, aws-lambda-ric, compiles C++ with CMake where it is installed. `node runtime.js FILE` serves what FILE exports as `handler`.
const { Agent, request } = require("node:http");

const agent = new Agent({ keepAlive: true });
const base = `http://${process.env.AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime`;

const ask = (method, path, body) =>
  new Promise((resolve, reject) => {
    const asked = request(`${base}${path}`, { method, agent }, (answer) => {
      const parts = [];
      answer.on("data", (part) => parts.push(part));
      answer.on("end", () => resolve({ headers: answer.headers, body: Buffer.concat(parts).toString() }));
    });
    asked.on("error", reject);
    asked.end(body);
  });

(async () => {
  const { handler } = require(require("node:path").resolve(process.argv[2]));
  for (;;) {
    const { headers, body } = await ask("GET", "/invocation/next");
    const id = headers["lambda-runtime-aws-request-id"];
    try {
      const answer = await handler(JSON.parse(body), { awsRequestId: id });
      await ask("POST", `/invocation/${id}/response`, JSON.stringify(answer));
    } catch (error) {
      const said = { errorType: error.name, errorMessage: error.message };
      await ask("POST", `/invocation/${id}/error`, JSON.stringify(said));
    }
  }
})();
