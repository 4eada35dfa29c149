"""Opens, updates and ends one data session.

Arguments: port, server host, server realm, own host, own realm, destination realm, MSISDN.
Prints one line of JSON with what was granted; exits with 1 when an answer is not as it should be.
"""
import json
import sys

from gy import INITIAL, SUCCESS, TERMINATION, UPDATE, DataSession, Gateway, group, granted

gateway = Gateway(*sys.argv[1:7])
session = DataSession(gateway, sys.argv[7])
grants = []
good = True
steps = [(INITIAL, None), (UPDATE, 1 << 20), (UPDATE, 2 << 20), (TERMINATION, 3 << 20)]
for kind, used in steps:
    answer = session.ask(kind, used)
    good = good and answer.result_code == SUCCESS
    if getattr(group(answer), "granted_service_unit", None) is not None:
        grants.append(granted(answer))
gateway.stop()
good = good and len(grants) == 3 and all(octets > 0 for octets in grants)
print(json.dumps({"session": session.id, "granted": grants, "good": good}))
sys.exit(0 if good else 1)
