// The two calls of a protected route, for a web page (protocol, section 9):
//
//     import { sudoFetch } from "/_bloonio/bloonio.js";
//     const response = await sudoFetch("/transfer/execute", { method: "POST", headers, body }, { onPrompt });
//
// The page asks, a person approves on the phone, the very same request goes out again with the approval's key. The key
// travels in a request header alone: it is written to no storage, no cookie, no address of the page, and no console.

/** What a request that needs no body, or another one, must not inherit. */
const OF_THE_BODY = /^(content-|if-|range$|x-sudo-instruction-key$)/;
/** What a repeated request has in common with the first one, beside its address, headers and body. */
const KEPT = [
  "method", "mode", "credentials", "cache", "redirect", "referrer", "referrerPolicy", "integrity", "keepalive",
];
const LONG_POLL_SECONDS = 25;
/** A status that cannot be learnt for so long ends the wait. */
const PATIENCE_MS = 120_000;
const PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 60_000;

/** Why a protected request did not run. */
export class SudoError extends Error {
  /**
   * @param {string} code the `error` of the answer, such as `SUDO_ACTION_DENIED`
   * @param {Response} response the answer that said so; its body can still be read
   * @param {string} [message] for people
   */
  constructor(code, response, message = code) {
    super(message);
    this.name = "SudoError";
    this.code = code;
    this.response = response;
  }
}

/**
 * `fetch` for routes that may need an approval. Resolves with the application's own answer; whatever the guard in front
 * of it refuses (codes that begin with `SUDO_`) is thrown. A denied or expired request is never sent again, and nobody is
 * asked twice.
 *
 * @param {RequestInfo | URL} input as for `fetch`
 * @param {RequestInit} [init] as for `fetch`; a stream is no body here, for it cannot be sent twice
 * @param {object} [options]
 * @param {(prompt: Prompt) => void} [options.onPrompt] called once when the phone has been asked
 * @param {boolean | Partial<typeof DIALOG_TEXTS>} [options.dialog] shows a dialog while the phone is asked; or its texts
 * @param {number} [options.patienceMs] how long to go on where the status cannot be learnt
 * @returns {Promise<Response>}
 * @throws {SudoError} the guard's refusal
 * @throws {DOMException} `AbortError` after `cancel()`, or the reason of the caller's own signal
 * @throws {TypeError} no network, or a body that cannot be sent twice
 *
 * @typedef {object} Prompt
 * @property {string} instructionId names the approval; a key for this session alone, so keep it in memory
 * @property {string} customType `localAuth`, `goldenNumber` or `totp`
 * @property {number} [goldenNumber] to be shown: the person types or picks it on the phone
 * @property {number[]} [numbers] those that the phone shows, where the number is picked
 * @property {Date} expiresAt when it is too late
 * @property {string} expectedAction what is asked
 * @property {() => void} cancel stops waiting
 */
export async function sudoFetch(input, init = {}, options = {}) {
  const request = await remember(input, init);
  const first = await request.send();
  const refused = await refusal(first);
  if (!refused || !sameOrigin(first.url || request.url, request.url)) return first;
  if (refused.error !== "SUDO_INSTRUCTION_KEY_REQUIRED") throw new SudoError(refused.error, first, refused.message);

  const status = statusUrl(refused, request, first);
  const waiting = new AbortController();
  const cancel = () => waiting.abort(new DOMException("The wait for the approval was cancelled.", "AbortError"));
  const signal = AbortSignal.any([request.signal, waiting.signal]);
  const prompt = promptOf(refused, cancel);
  const dialog = options.dialog && showDialog(prompt, { ...DIALOG_TEXTS, ...options.dialog });
  try {
    options.onPrompt?.(prompt);
    for (;;) {
      await answered(status, request, signal, options.patienceMs ?? PATIENCE_MS);
      const response = await request.send(prompt.instructionId, signal);
      const again = await refusal(response);
      if (!again) return response;
      // Another process of the backend may hear of the decision a moment later.
      if (again.error !== "SUDO_ACTION_PENDING") throw new SudoError(again.error, response, again.message);
      await pause(PAUSE_MS, signal);
    }
  } finally {
    dialog?.remove();
  }
}

/** Reads the request once, so that the same bytes can be sent twice. */
async function remember(input, init) {
  if (init?.body instanceof ReadableStream) {
    throw new TypeError("sudoFetch sends a body twice: give it whole, as text, bytes or a form, not as a stream");
  }
  const request = new Request(input, init);
  const { url, signal } = request;
  const kept = Object.fromEntries(KEPT.map((name) => [name, request[name]]));
  const headers = new Headers(request.headers);
  const body = /^(GET|HEAD)$/.test(request.method) ? undefined : await request.arrayBuffer();
  const send = (key, until = signal) => {
    const sent = new Headers(headers);
    if (key !== undefined) sent.set("X-Sudo-Instruction-Key", key);
    return fetch(url, { ...kept, headers: sent, body, signal: until });
  };
  return { url, signal, headers, credentials: request.credentials, mode: request.mode, send };
}

/** What the guard says in `response`; nothing if it is the application's own answer. */
async function refusal(response) {
  if (response.ok || !/^application\/json\b/i.test(response.headers.get("content-type") ?? "")) return undefined;
  const body = parsed(await response.clone().text());
  return typeof body.error === "string" && body.error.startsWith("SUDO_") ? body : undefined;
}

function sameOrigin(one, other) {
  return new URL(one).origin === new URL(other).origin;
}

/** Where to ask. The question carries the caller's credentials: it goes to the origin of the request, or nowhere. */
function statusUrl(refused, request, response) {
  const { instruction_id: id, status_url: path } = refused;
  const isNamed = typeof id === "string" && /^[\w-]{8,64}$/.test(id);
  if (!isNamed || typeof path !== "string" || !URL.canParse(path, request.url)) {
    throw new SudoError(refused.error, response, "the answer does not say how to wait for the approval");
  }
  const url = new URL(path, request.url);
  if (!sameOrigin(url, request.url)) {
    throw new SudoError(refused.error, response, "the status is at another origin than the request");
  }
  url.searchParams.set("wait_seconds", LONG_POLL_SECONDS);
  return url;
}

function promptOf(refused, cancel) {
  return {
    instructionId: refused.instruction_id,
    customType: refused.custom_type,
    goldenNumber: refused.golden_number ?? undefined,
    numbers: refused.numbers ?? undefined,
    expiresAt: new Date(refused.expires_at),
    expectedAction: refused.expected_action,
    cancel,
  };
}

/** Waits until the approval is given; throws if it is not. */
async function answered(url, request, signal, patienceMs) {
  const headers = new Headers([...request.headers].filter(([name]) => !OF_THE_BODY.test(name)));
  headers.set("Accept", "application/json");
  // The address names the instruction: it is sent on to nobody.
  const how = { headers, credentials: request.credentials, mode: request.mode, signal, cache: "no-store" };
  const asking = { ...how, redirect: "manual", referrerPolicy: "no-referrer" };
  for (let heard = performance.now(), failed; ; ) {
    const asked = performance.now();
    if (failed && asked - heard > patienceMs) throw failed;
    let response;
    let body;
    try {
      response = await fetch(url, asking);
      body = parsed(await response.clone().text());
    } catch (error) {
      failed = error;
      // Throws where it was the signal.
      await pause(PAUSE_MS, signal);
      continue;
    }
    if (response.status === 429 || response.status === 503) {
      failed = new SudoError(body.error ?? "SUDO_STATE_UNAVAILABLE", response, body.message);
      await pause(retryAfterMs(response), signal);
      continue;
    }
    if (response.ok && body.status === "validated") return;
    if (!response.ok || body.status !== "pending") throw new SudoError(endOf(response, body), response, body.message);
    [heard, failed] = [performance.now(), undefined];
    // A server that does not hold the question is not asked in a tight loop.
    if (heard - asked < PAUSE_MS) await pause(PAUSE_MS, signal);
  }
}

/** A JSON object; an empty one for anything else. */
function parsed(text) {
  try {
    return Object(JSON.parse(text));
  } catch {
    return {};
  }
}

/** The code of a wait that has ended: the same that the request itself would be answered with. */
function endOf(response, body) {
  if (body.status === "denied") return "SUDO_ACTION_DENIED";
  return response.ok || response.status === 404 ? "SUDO_ACTION_EXPIRED" : (body.error ?? "SUDO_STATE_UNAVAILABLE");
}

function retryAfterMs(response) {
  const seconds = Number.parseInt(response.headers.get("retry-after"), 10);
  return Number.isNaN(seconds) ? PAUSE_MS : Math.min(Math.max(seconds * 1000, PAUSE_MS), LONGEST_PAUSE_MS);
}

function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const stop = () => (clearTimeout(timer), reject(signal.reason));
    const timer = setTimeout(() => (signal.removeEventListener("abort", stop), resolve()), ms);
    signal.addEventListener("abort", stop, { once: true });
  });
}

const DIALOG_TEXTS = {
  title: "Confirm on your phone",
  hint: "Your phone shows what you are about to do. Approve it there.",
  number: "Type this number on your phone:",
  left: "seconds left",
  cancel: "Cancel",
};

/** A dialog without a style of its own: pages dress `.bloonio-dialog`. Texts are set as text, never as markup. */
function showDialog(prompt, texts) {
  const element = (name, part, text = "") => {
    const made = document.createElement(name);
    made.className = `bloonio-${part}`;
    made.textContent = text;
    return made;
  };
  const dialog = element("dialog", "dialog");
  dialog.setAttribute("aria-label", texts.title);
  dialog.append(element("h2", "title", texts.title), element("p", "hint", texts.hint));
  if (prompt.goldenNumber !== undefined) {
    dialog.append(element("p", "number-hint", texts.number), element("strong", "number", prompt.goldenNumber));
  }
  const left = element("p", "left");
  const count = () => {
    const seconds = Math.max(0, Math.round((prompt.expiresAt - Date.now()) / 1000));
    left.textContent = `${seconds} ${texts.left}`;
  };
  const ticking = setInterval(count, 1000);
  const cancel = element("button", "cancel", texts.cancel);
  cancel.type = "button";
  cancel.addEventListener("click", prompt.cancel);
  dialog.addEventListener("cancel", prompt.cancel);
  dialog.append(left, cancel);
  document.body.append(dialog);
  count();
  dialog.showModal();
  return { remove: () => (clearInterval(ticking), dialog.remove()) };
}
