// The bank's page. The session's token lives in this variable and nowhere else: a reload signs out.
import { SudoError, sudoFetch } from "/_bloonio/bloonio.js";

const REFUSALS = {
  SUDO_ACTION_DENIED: "Denied. Nothing was executed.",
  SUDO_ACTION_EXPIRED: "The approval is over. Nothing was executed.",
  SUDO_ACTION_TIMEOUT: "Nobody answered in time. Nothing was executed.",
  SUDO_TOO_MANY_PENDING: "Too many approvals are open, or nobody approved the last one. Wait a little.",
};

const element = (id) => document.getElementById(id);

let token;
let running;
let ticking;

function say(text) {
  element("status").textContent = text;
}

/** A request of whoever is signed in. */
function asked(method, body) {
  const headers = { Authorization: `Bearer ${token}` };
  if (body === undefined) return { method, headers };
  return { method, headers: { ...headers, "Content-Type": "application/json" }, body: JSON.stringify(body) };
}

/** Shows that the phone is waiting, with the number to type there if there is one. */
function showApproval({ goldenNumber, expiresAt } = {}) {
  clearInterval(ticking);
  element("approval").hidden = false;
  element("number-line").hidden = goldenNumber === undefined;
  element("number").textContent = goldenNumber ?? "";
  element("left-line").hidden = expiresAt === undefined;
  if (expiresAt) {
    const count = () => {
      element("left").textContent = `${Math.max(0, Math.round((expiresAt - Date.now()) / 1000))} s`;
    };
    count();
    ticking = setInterval(count, 1000);
  }
  say(goldenNumber === undefined ? "Waiting for your phone." : `Type ${goldenNumber} on your phone.`);
}

function hideApproval() {
  clearInterval(ticking);
  element("approval").hidden = true;
  element("number").textContent = "";
}

/** Runs one action that may need an approval, and says what became of it. */
async function act(path, request, options, done) {
  running = new AbortController();
  element("actions").disabled = true;
  try {
    const response = await sudoFetch(path, { ...request, signal: running.signal }, options);
    const answer = await response.json();
    say(response.ok ? done(answer) : (answer.message ?? `The bank answers ${response.status}.`));
  } catch (error) {
    say(explained(error));
  } finally {
    hideApproval();
    element("actions").disabled = false;
  }
  await showLedger();
}

function explained(error) {
  if (error instanceof SudoError) return REFUSALS[error.code] ?? error.message;
  return error.name === "AbortError" ? "Cancelled. Nothing was executed." : "The bank cannot be reached.";
}

async function showLedger() {
  const response = await fetch("/ledger", asked("GET"));
  if (!response.ok) return;
  const { items } = await response.json();
  const rows = items.map(({ transfer_id, amount, recipient }) => {
    const row = document.createElement("tr");
    for (const text of [transfer_id, amount, recipient]) {
      row.insertCell().textContent = text;
    }
    return row;
  });
  element("ledger").replaceChildren(...rows);
}

function showCode({ pairing_uri, qr_png_base64 }) {
  element("picture").src = `data:image/png;base64,${qr_png_base64}`;
  element("uri").value = pairing_uri;
  element("code").hidden = false;
  return "Scan the code with your phone.";
}

/** What `form` does when it is sent; its fields are the request's. */
function onSubmit(form, run) {
  element(form).addEventListener("submit", (event) => {
    event.preventDefault();
    run(Object.fromEntries(new FormData(event.target)));
  });
}

for (const button of document.querySelectorAll(".sign-in")) {
  button.addEventListener("click", () => {
    running?.abort();
    token = button.dataset.token;
    element("session").textContent = `Signed in as ${token}.`;
    element("account").defaultValue = token;
    element("actions").disabled = false;
    element("code").hidden = true;
    say("Pair a phone, or do something that needs one.");
    showLedger();
  });
}

// The first phone is paired at once; another one needs the first one's approval, in the dialog of the module.
onSubmit("pair", () => act("/pair", asked("GET"), { dialog: true }, showCode));
onSubmit("transfer", (order) => {
  const done = ({ amount, recipient }) => `Transferred ${amount} to ${recipient}.`;
  act("/transfer/execute", asked("POST", order), { onPrompt: showApproval }, done);
});
onSubmit("payout", (order) => {
  // The answer comes when the phone has approved: there is nothing to be told before.
  showApproval();
  const done = ({ amount, recipient }) => `Paid out ${amount} to ${recipient}.`;
  act("/payout/execute", asked("POST", order), { onPrompt: showApproval }, done);
});
onSubmit("password", (wanted) => {
  element("password").reset();
  const done = () => "The password is changed.";
  act("/password/change", asked("POST", wanted), { onPrompt: showApproval }, done);
});
element("cancel").addEventListener("click", () => running?.abort());
element("refresh").addEventListener("click", showLedger);
