// A backend in JavaScript: signs, calls and verifies with libraries that others have written.
//
//   node peer.mjs sign | call | verify-message | verify-webhook
//
// Reads one JSON object from standard input and writes one to standard output. The working directory is where the
// libraries are installed.

import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { createRequire } from "node:module";
import { text } from "node:stream/consumers";

const require = createRequire(`${process.cwd()}/package.json`);
const { httpbis } = require("http-message-signatures");
const { Webhook } = require("standardwebhooks");

const PARAMETERS = ["keyid", "alg", "created", "nonce", "tag"];

function components(body) {
  const always = ["@method", "@path", "@query", "x-bloonio-tenant-id"];
  return body ? [...always, "content-digest"] : always;
}

function digest(body) {
  return `sha-256=:${createHash("sha256").update(body).digest("base64")}:`;
}

function mac(secret, data) {
  return createHmac("sha256", secret).update(data).digest();
}

// The headers of a call that is signed in both ways.
async function sign({ method, url, body, tenant_id, secret, nonce }) {
  const now = Date.now();
  const hashed = createHash("sha256").update(body).digest("hex");
  const headers = {
    "x-bloonio-tenant-id": tenant_id,
    "x-bloonio-timestamp": String(now),
    "x-bloonio-signature": mac(secret, `${now}.${hashed}`).toString("hex"),
  };
  if (body) {
    headers["content-type"] = "application/json";
    headers["content-digest"] = digest(body);
  }
  const signed = await httpbis.signMessage(
    {
      key: { id: tenant_id, alg: "hmac-sha256", sign: async (data) => mac(secret, data) },
      name: "bloonio",
      fields: components(body),
      params: PARAMETERS,
      paramValues: { created: new Date(now), nonce, tag: "bloonio-relay" },
    },
    { method, url, headers },
  );
  return { headers: signed.headers };
}

async function call(request) {
  const { headers } = await sign(request);
  const { method, url, body } = request;
  const answer = await fetch(url, { method, headers, body: body || undefined });
  return { status: answer.status, body: await answer.text() };
}

// Whether a request as it arrived is signed by the protocol's rules.
async function verifyMessage({ method, url, headers, body, tenant_id, secret }) {
  if (body && headers["content-digest"] !== digest(body)) {
    return false;
  }
  const verified = await httpbis.verifyMessage(
    {
      keyLookup: async ({ keyid, tag }) =>
        keyid === tenant_id && tag === "bloonio-relay"
          ? {
              id: tenant_id,
              algs: ["hmac-sha256"],
              verify: async (data, signature) => {
                const expected = mac(secret, data);
                return expected.length === signature.length && timingSafeEqual(expected, signature);
              },
            }
          : null,
      requiredParams: PARAMETERS,
      requiredFields: components(body),
      maxAge: 60,
      tolerance: 30,
    },
    { method, url, headers },
  );
  return verified === true;
}

function verifyWebhook({ headers, body, secret }) {
  new Webhook(secret, { format: "raw" }).verify(body, headers);
  // The same with the secret in the library's usual form.
  new Webhook(`whsec_${Buffer.from(secret).toString("base64")}`).verify(body, headers);
  return true;
}

async function verdict(verify, request) {
  try {
    return { verified: await verify(request) };
  } catch (error) {
    return { verified: false, reason: String(error) };
  }
}

const commands = {
  sign,
  call,
  "verify-message": (request) => verdict(verifyMessage, request),
  "verify-webhook": (request) => verdict(async (it) => verifyWebhook(it), request),
};

const answer = await commands[process.argv[2]](JSON.parse(await text(process.stdin)));
console.log(JSON.stringify(answer));
