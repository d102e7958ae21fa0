"""Lets schemathesis past the relay's door, and gives it something to find behind.

Operator calls get the admin key, tenant calls are signed in both ways, device calls get the token of a paired device. Every
second call names something that exists, so that handlers are reached and not only their first look-up.

Environment: FUZZ_RELAY (base address), FUZZ_ADMIN_KEY.
"""

import itertools
import os
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import urlsplit

import requests
import schemathesis
from http_message_signatures.exceptions import HTTPMessageSignaturesException

import peer

RELAY = os.environ["FUZZ_RELAY"]
ADMIN = {"x-admin-key": os.environ["FUZZ_ADMIN_KEY"]}
API = "/api/v1"
# A device has 120 calls a minute, a pairing 30 open prompts.
CALLS_PER_DEVICE = 50
PROMPTS_PER_PAIRING = 20

session = requests.Session()
session.trust_env = False


def data(answer):
    """`data` of a success; the world that the calls meet is made with these."""
    answer.raise_for_status()
    return answer.json()["data"]


def tenant_call(tenant, path, body):
    request = requests.Request("POST", f"{RELAY}{API}{path}", json=body, auth=Signed(tenant))
    return data(session.send(request.prepare()))


def new_tenant(**more):
    fields = {"tenant_name": "Fuzzed", "rate_limit_per_min": 10000, **more}
    return data(session.post(f"{RELAY}{API}/provision/tenant", headers=ADMIN, json=fields))


class Signed(requests.auth.AuthBase):
    """Signs a request as it will be sent, by HMAC #1 and as a message."""

    def __init__(self, tenant):
        self.tenant = tenant

    def __call__(self, request):
        body = request.body or b""
        body = body if isinstance(body, bytes) else body.encode()
        call = {
            "method": request.method,
            "url": request.url,
            "body": body,
            "tenant_id": self.tenant["tenant_id"],
            "secret": self.tenant["tenant_secret"],
            "nonce": secrets.token_hex(16),
        }
        try:
            headers = peer.signed_headers(call)
        except HTTPMessageSignaturesException:
            # A target that the library takes for none: the relay shall see it all the same.
            headers = peer.hmac_headers(call)
        request.headers.update(headers)
        return request


class Gone(BaseHTTPRequestHandler):
    """A backend that wants no callbacks: they are given up at once."""

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(410)
        self.end_headers()

    def log_message(self, *_):
        pass


def gone_backend():
    server = HTTPServer(("127.0.0.1", 0), Gone)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


class World:
    """What exists at the relay: a tenant with a paired user and his prompts, and a second tenant to be spoiled."""

    def __init__(self):
        self.tenant, self.victim = new_tenant(callback_url_base=gone_backend()), new_tenant()
        self.numbers = itertools.count(1)
        self.device = None
        self.calls = self.prompts = 0
        self.dead = None

    def proof(self):
        """A pairing proof of the user."""
        profile = {"user_socket_hash": self.user, "backend_user_id": self.user, "display_name": "Jane", "user_email": "jane@bank.example"}
        return tenant_call(self.tenant, "/relay/prepare-pairing", profile)["pairing_proof"]

    def register(self):
        """A device of the user; after the first one it waits for confirmation."""
        proof = {"authorization": f"Bearer {self.proof()}"}
        return data(session.post(f"{RELAY}{API}/device/register-token", headers=proof, json={"platform": "stream"}))

    def renew(self):
        """A new user with a paired device."""
        self.user = f"fuzzed-user-{next(self.numbers)}"
        self.device = self.register()
        self.calls = self.prompts = 0

    def new_proof(self):
        """The proof of a user without a pairing."""
        self.user, self.device = f"fuzzed-user-{next(self.numbers)}", None
        return self.proof()

    def token(self):
        """The session token of a paired device that has calls left."""
        if self.device is None or self.calls >= CALLS_PER_DEVICE or self.prompts >= PROMPTS_PER_PAIRING:
            self.renew()
        self.calls += 1
        return self.device["device_session_token"]

    def prompt(self):
        """An open prompt of the paired user."""
        self.token()
        self.prompts += 1
        challenge = {
            "user_socket_hash": self.user,
            "instruction_id": f"fuzzed-{next(self.numbers):08}",
            "custom_type": "localAuth",
            "expected_action": "transfer_funds",
            "backend_url": "https://bank.example",
            "ttl_seconds": 600,
        }
        tenant_call(self.tenant, "/relay/send/auth-challenge", challenge)
        return challenge["instruction_id"]

    def answered(self):
        """A prompt that the paired user has answered."""
        instruction = self.prompt()
        answer = {"instruction_id": instruction, "approved": True, "custom_type": "localAuth"}
        # Of the device that was asked; another call may already be another user's.
        bearer = {"authorization": f"Bearer {self.device['device_session_token']}"}
        self.calls += 1
        data(session.post(f"{RELAY}{API}/device/submit-response", headers=bearer, json=answer))
        return instruction

    def alert(self):
        """A notice to the paired user."""
        self.token()
        notice = {"user_socket_hash": self.user, "title": "New sign-in", "body": "From Lisbon.", "kind": "sign_in"}
        tenant_call(self.tenant, "/relay/send/security-alert", notice)

    def dead_delivery(self):
        """A callback that was given up."""
        if self.dead is None:
            self.answered()
        query = {"tenant_id": self.tenant["tenant_id"], "status": "dead"}
        while self.dead is None:
            page = data(session.get(f"{RELAY}{API}/fetch/callbacks", headers=ADMIN, params=query))
            self.dead = next((item["delivery_id"] for item in page["items"]), None)
            time.sleep(0.05)
        return self.dead


world = World()


class Door(requests.auth.AuthBase):
    """Proves the caller that the path asks for."""

    def __call__(self, request):
        path = urlsplit(request.url).path
        if path.startswith(f"{API}/relay/"):
            return Signed(world.tenant)(request)
        if path == f"{API}/device/register-token":
            request.headers["authorization"] = f"Bearer {world.new_proof()}"
        elif path.startswith(f"{API}/device/"):
            request.headers["authorization"] = f"Bearer {world.token()}"
            if path.endswith(("/unpair", "/refresh-token")):
                world.device = None
        else:
            request.headers.update(ADMIN)
        return request


schemathesis.auth.set_from_requests(Door())


def put(values, name, value):
    """Names something that exists where the generated values name something; others stay."""
    if isinstance(values, dict) and name in values:
        values[name] = value


turns = itertools.count()


def protect(places):
    """None may spoil the tenant that the others need."""
    for values in places:
        if isinstance(values, dict) and values.get("tenant_id") == world.tenant["tenant_id"]:
            values["tenant_id"] = world.victim["tenant_id"]


def name_what_exists(path, case, turn):
    """Puts the names of existing things where others were made up."""
    places = [case.path_parameters, case.query, case.body]
    reads_callbacks = path.endswith(("/fetch/callbacks", "/redeliver/callback"))
    tenant = world.tenant if reads_callbacks else world.victim
    names = {"tenant_id": tenant["tenant_id"]}
    if path.endswith("/redeliver/callback"):
        names["delivery_id"] = world.dead_delivery()
    if path.endswith("/device/alerts"):
        world.alert()
    if path.endswith("/device/challenges"):
        world.prompt()
    if path.endswith("/confirm-device"):
        world.renew()
        names["device_id"] = world.register()["pairing"]["device_id"]
    if "/send/" in path or path.endswith("/revoke-pairing"):
        world.token()
        world.prompts += 1
        names["user_socket_hash"] = world.user
    elif any(isinstance(values, dict) and "instruction_id" in values for values in places):
        names["instruction_id"] = world.prompt() if turn % 4 == 0 else world.answered()
        # An open prompt would be waited for.
        names["wait_seconds"] = 0
    for values in places:
        for name, value in names.items():
            put(values, name, value)
    if path.endswith("/revoke-pairing"):
        world.device = None


@schemathesis.hook
def before_call(context, case, kwargs):
    """Every second call names what exists."""
    path, turn = case.operation.path, next(turns)
    protect([case.path_parameters, case.query, case.body])
    if turn % 2 == 0:
        name_what_exists(path, case, turn)
