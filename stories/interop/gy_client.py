"""A Gy client that is not ours (python-diameter): opens, updates and ends one data session.

Arguments: port, server host, server realm, own host, own realm, destination realm, MSISDN.
Prints one line of JSON with what was granted; exits with 1 when an answer is not as it should be.
"""
import json
import sys

from diameter.message import constants as c
from diameter.message.avp.grouped import (
    PsInformation,
    RequestedServiceUnit,
    ServiceInformation,
    UsedServiceUnit,
)
from diameter.message.commands.credit_control import CreditControlRequest
from diameter.node import Node
from diameter.node.application import SimpleThreadingApplication

port, server, server_realm, own, own_realm, destination, msisdn = sys.argv[1:8]

node = Node(own, own_realm, vendor_ids=[c.VENDOR_TGPP])
peer = node.add_peer(
    f"aaa://{server}:{port};transport=tcp",
    server_realm,
    ip_addresses=["127.0.0.1"],
    is_persistent=True,
    is_default=True,
)
app = SimpleThreadingApplication(
    c.APP_DIAMETER_CREDIT_CONTROL_APPLICATION,
    is_acct_application=False,
    is_auth_application=True,
    request_handler=None,
)
node.add_application(app, [peer], realms=[destination])
node.start()
app.wait_for_ready(timeout=10)
session = node.session_generator.next_id()


def ask(kind, number, used):
    request = CreditControlRequest()
    request.header.application_id = c.APP_DIAMETER_CREDIT_CONTROL_APPLICATION
    request.session_id = session
    request.origin_host = own.encode()
    request.origin_realm = own_realm.encode()
    request.destination_realm = destination.encode()
    request.auth_application_id = c.APP_DIAMETER_CREDIT_CONTROL_APPLICATION
    request.service_context_id = "32251@3gpp.org"
    request.cc_request_type = kind
    request.cc_request_number = number
    request.add_subscription_id(
        subscription_id_type=c.E_SUBSCRIPTION_ID_TYPE_END_USER_E164,
        subscription_id_data=msisdn,
    )
    group = {"rating_group": 10}
    if kind != c.E_CC_REQUEST_TYPE_TERMINATION_REQUEST:
        group["requested_service_unit"] = RequestedServiceUnit()
    if used is not None:
        group["used_service_unit"] = [UsedServiceUnit(cc_total_octets=used)]
    request.add_multiple_services_credit_control(**group)
    request.service_information = ServiceInformation(
        ps_information=PsInformation(called_station_id="internet", tgpp_rat_type=b"\x06")
    )
    return app.send_request(request, timeout=10)


granted = []
good = True
steps = [
    (c.E_CC_REQUEST_TYPE_INITIAL_REQUEST, None),
    (c.E_CC_REQUEST_TYPE_UPDATE_REQUEST, 1 << 20),
    (c.E_CC_REQUEST_TYPE_UPDATE_REQUEST, 2 << 20),
    (c.E_CC_REQUEST_TYPE_TERMINATION_REQUEST, 3 << 20),
]
for number, (kind, used) in enumerate(steps):
    answer = ask(kind, number, used)
    good = good and answer.result_code == c.E_RESULT_CODE_DIAMETER_SUCCESS
    groups = answer.multiple_services_credit_control or []
    units = groups[0].granted_service_unit if groups else None
    if units is not None:
        granted.append(units.cc_total_octets)
node.stop(wait_timeout=3)
good = good and len(granted) == 3 and all(octets > 0 for octets in granted)
print(json.dumps({"session": session, "granted": granted, "good": good}))
sys.exit(0 if good else 1)
