// Sends messages by the official SDK. Each line of standard input is JSON, {prefix, from, count}: so many messages, to the
// devices prefix + number. Each is answered by a line with how many were accepted.
import { createSign } from "node:crypto";
import { readFileSync } from "node:fs";
import { request } from "node:https";
import { createInterface } from "node:readline";
import { initializeApp } from "firebase-admin/app";
import { getMessaging } from "firebase-admin/messaging";

// The SDK takes this many messages at once.
const BATCH = 500;
const account = JSON.parse(readFileSync(process.env.FCM_ACCOUNT, "utf8"));

const base64url = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

// One token for the whole run, as the relay has one; the SDK would ask Google's own address for it.
async function exchange() {
  const iat = Math.floor(Date.now() / 1000);
  const header = base64url({ alg: "RS256", typ: "JWT", kid: account.private_key_id });
  const scope = "https://www.googleapis.com/auth/firebase.messaging";
  const claims = { iss: account.client_email, aud: account.token_uri, scope, iat, exp: iat + 3600 };
  const unsigned = `${header}.${base64url(claims)}`;
  const signature = createSign("RSA-SHA256").update(unsigned).sign(account.private_key, "base64url");
  const grant_type = "urn:ietf:params:oauth:grant-type:jwt-bearer";
  const body = new URLSearchParams({ grant_type, assertion: `${unsigned}.${signature}` }).toString();
  const headers = { "content-type": "application/x-www-form-urlencoded", "content-length": body.length };
  return new Promise((resolve, reject) => {
    const call = request(account.token_uri, { method: "POST", headers }, async (answer) => {
      const text = (await answer.toArray()).join("");
      answer.statusCode === 200 ? resolve(JSON.parse(text)) : reject(new Error(text));
    });
    call.on("error", reject).end(body);
  });
}

// The emulator spells the priority as the description of the interface does; the SDK passes on what it is given.
function message(token, number) {
  const instruction_id = `peer-${String(number).padStart(8, "0")}`;
  const data = { type: "auth_challenge", instruction_id, tenant_id: `tnt_${"0".repeat(32)}`, expires_at: "2033-05-18T03:33:20.000Z" };
  return { token, data, android: { priority: "HIGH", ttl: 180_000 } };
}

const { access_token, expires_in } = await exchange();
const credential = { getAccessToken: async () => ({ access_token, expires_in }) };
const messaging = getMessaging(initializeApp({ credential, projectId: account.project_id }));
console.log("ready");
for await (const line of createInterface({ input: process.stdin })) {
  const { prefix, from, count } = JSON.parse(line);
  let accepted = 0;
  for (let done = 0; done < count; done += BATCH) {
    const numbers = Array.from({ length: Math.min(BATCH, count - done) }, (_, n) => from + done + n);
    const sent = await messaging.sendEach(numbers.map((number) => message(`${prefix}${number}`, number)));
    accepted += sent.successCount;
    const failed = sent.responses.find((response) => !response.success);
    if (failed) console.error(failed.error.message);
  }
  console.log(accepted);
}
