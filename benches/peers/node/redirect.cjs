// Loaded before anything else (--require): whoever connects to FCM meets the emulator of FCM_EMULATOR. The SDK has no
// setting for that. Certificates are verified as ever; NODE_EXTRA_CA_CERTS names the emulator's authority.
const http2 = require("node:http2");

const connect = http2.connect;
http2.connect = (authority, ...rest) => {
  const host = new URL(authority).hostname;
  if (host !== "fcm.googleapis.com") {
    throw new Error(`no connection to ${host} was expected`);
  }
  const session = connect(process.env.FCM_EMULATOR, ...rest);
  const ask = session.request.bind(session);
  // The SDK names the scheme "https:"; Google takes that, the emulator's HTTP/2 does not.
  session.request = (headers, ...more) => ask({ ...headers, ":scheme": "https" }, ...more);
  return session;
};
