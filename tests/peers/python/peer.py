"""A backend in Python: signs, calls and verifies with libraries that others have written.

    python peer.py sign | call | verify-message | verify-webhook

Reads one JSON object from standard input and writes one to standard output.
"""

import base64
import datetime
import hashlib
import hmac
import json
import sys
import time
from types import SimpleNamespace

import requests
from http_message_signatures import HTTPMessageSigner, HTTPMessageVerifier, MappingKeyResolver, algorithms
from http_message_signatures.exceptions import HTTPMessageSignaturesException
from requests.structures import CaseInsensitiveDict
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

LABEL = "bloonio"
TAG = "bloonio-relay"
ALWAYS = ("@method", "@path", "@query", "x-bloonio-tenant-id")


def keys(request):
    mapping = {request["tenant_id"]: request["secret"].encode()}
    return {
        "signature_algorithm": algorithms.HMAC_SHA256,
        "key_resolver": MappingKeyResolver(public_keys=mapping, private_keys=mapping),
    }


def prepared(request, headers):
    return requests.Request(request["method"], request["url"], headers=headers, data=request["body"]).prepare()


def hmac_headers(request):
    """The headers of HMAC #1."""
    timestamp = str(int(time.time() * 1000))
    hmac_input = f"{timestamp}.{hashlib.sha256(request['body']).hexdigest()}".encode()
    return {
        "x-bloonio-tenant-id": request["tenant_id"],
        "x-bloonio-timestamp": timestamp,
        "x-bloonio-signature": hmac.new(request["secret"].encode(), hmac_input, hashlib.sha256).hexdigest(),
    }


def signed(request):
    """The call, signed in both ways."""
    body = request["body"]
    headers = hmac_headers(request)
    if body:
        headers["content-type"] = "application/json"
    message = prepared(request, headers)
    HTTPMessageSigner(**keys(request)).sign(
        message,
        key_id=request["tenant_id"],
        created=datetime.datetime.now(tz=datetime.timezone.utc),
        nonce=request["nonce"],
        label=LABEL,
        tag=TAG,
        covered_component_ids=ALWAYS,
        body=body or None,  # has its digest made and covered
    )
    return message


def signed_headers(request):
    """The headers that sign the call in both ways."""
    ours = ("x-bloonio-", "signature", "content-digest")
    return {name: value for name, value in signed(request).headers.items() if name.lower().startswith(ours)}


def sign(request):
    return {"headers": {name.lower(): value for name, value in signed(request).headers.items()}}


def call(request):
    with requests.Session() as session:
        session.trust_env = False
        answer = session.send(signed(request))
    return {"status": answer.status_code, "body": answer.text}


def verify_message(request):
    """Whether a request as it arrived is signed by the protocol's rules."""
    headers, body = request["headers"], request["body"]
    covered = ALWAYS + (("content-digest",) if body else ())
    # Not a request of the library: that would write the address anew.
    message = SimpleNamespace(method=request["method"], url=request["url"], headers=CaseInsensitiveDict(headers))
    HTTPMessageVerifier(**keys(request)).verify(
        message, expect_tag=TAG, require_components=covered, body=body or None
    )
    return True


def verify_webhook(request):
    headers, body, secret = request["headers"], request["body"], request["secret"].encode()
    Webhook(secret).verify(body, headers)
    # The same with the secret in the library's usual form.
    Webhook(f"whsec_{base64.b64encode(secret).decode()}").verify(body, headers)
    return True


def verdict(verify, request):
    try:
        return {"verified": verify(request)}
    except (HTTPMessageSignaturesException, WebhookVerificationError) as error:
        return {"verified": False, "reason": repr(error)}


COMMANDS = {
    "sign": sign,
    "call": call,
    "verify-message": lambda request: verdict(verify_message, request),
    "verify-webhook": lambda request: verdict(verify_webhook, request),
}

if __name__ == "__main__":
    asked = json.load(sys.stdin)
    asked["body"] = asked["body"].encode()
    print(json.dumps(COMMANDS[sys.argv[1]](asked)))
