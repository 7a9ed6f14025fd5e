"""Holds a webhook and an upgrade of the simulated carrier against Twilio's own validator.

Usage: signature_check.py TOKEN < {"url", "body", "signature", "socket_url", "socket_signature"}
The body is the raw form; what does not verify ends the script with an error.
"""

import json
import sys
from urllib.parse import parse_qsl

from twilio.request_validator import RequestValidator


def main(token):
    seen = json.load(sys.stdin)
    validator = RequestValidator(token)
    form = dict(parse_qsl(seen["body"], keep_blank_values=True, strict_parsing=True))
    assert len(form) > 20, form
    assert validator.validate(seen["url"], form, seen["signature"]), "webhook"
    assert validator.validate(seen["socket_url"], {}, seen["socket_signature"]), "upgrade"
    forged = dict(form, From="+15550000000")
    assert not validator.validate(seen["url"], forged, seen["signature"]), "a forged field"
    print(f"{len(form)} fields and one upgrade, both signed as Twilio's validator wants")


if __name__ == "__main__":
    main(*sys.argv[1:])
