"""A gateway that is not ours: data sessions over Gy with python-diameter."""
from diameter.message import constants as c
from diameter.message.avp.grouped import (
    PsInformation,
    RequestedServiceUnit,
    ServiceInformation,
    SubscriptionId,
    UsedServiceUnit,
)
from diameter.message.commands.credit_control import CreditControlRequest
from diameter.node import Node
from diameter.node.application import SimpleThreadingApplication

INITIAL = c.E_CC_REQUEST_TYPE_INITIAL_REQUEST
UPDATE = c.E_CC_REQUEST_TYPE_UPDATE_REQUEST
TERMINATION = c.E_CC_REQUEST_TYPE_TERMINATION_REQUEST
EVENT = c.E_CC_REQUEST_TYPE_EVENT_REQUEST
DEBIT = c.E_REQUESTED_ACTION_DIRECT_DEBITING
REFUND = c.E_REQUESTED_ACTION_REFUND_ACCOUNT
SUCCESS = c.E_RESULT_CODE_DIAMETER_SUCCESS


class Gateway:
    """Connected to one server; `pushed` hears the RAR and ASR, which are answered with success."""

    def __init__(self, port, server, server_realm, own, own_realm, destination, pushed=None):
        self.own, self.own_realm, self.destination = own, own_realm, destination
        self.node = Node(own, own_realm, vendor_ids=[c.VENDOR_TGPP])
        peer = self.node.add_peer(
            f"aaa://{server}:{port};transport=tcp",
            server_realm,
            ip_addresses=["127.0.0.1"],
            is_persistent=True,
            is_default=True,
        )

        def handle(app, message):
            if pushed is not None:
                pushed(type(message).__name__, message.session_id)
            return app.generate_answer(message, result_code=SUCCESS)

        self.app = SimpleThreadingApplication(
            c.APP_DIAMETER_CREDIT_CONTROL_APPLICATION,
            is_acct_application=False,
            is_auth_application=True,
            request_handler=handle,
        )
        # RAR and ASR come to its own realm.
        self.node.add_application(self.app, [peer], realms=[destination, own_realm])
        self.node.start()
        self.app.wait_for_ready(timeout=10)

    def stop(self):
        self.node.stop(wait_timeout=3)


class DataSession:
    """One session of a line with one rating group."""

    def __init__(self, gateway, msisdn):
        self.gateway, self.msisdn = gateway, msisdn
        self.id = gateway.node.session_generator.next_id()
        self.number = 0

    def request(self, kind):
        request = CreditControlRequest()
        request.header.application_id = c.APP_DIAMETER_CREDIT_CONTROL_APPLICATION
        request.session_id = self.id
        request.origin_host = self.gateway.own.encode()
        request.origin_realm = self.gateway.own_realm.encode()
        request.destination_realm = self.gateway.destination.encode()
        request.auth_application_id = c.APP_DIAMETER_CREDIT_CONTROL_APPLICATION
        request.service_context_id = "32251@3gpp.org"
        request.cc_request_type = kind
        request.cc_request_number = self.number
        self.number += 1
        request.subscription_id = [
            SubscriptionId(
                subscription_id_type=c.E_SUBSCRIPTION_ID_TYPE_END_USER_E164,
                subscription_id_data=self.msisdn,
            )
        ]
        request.service_information = ServiceInformation(
            ps_information=PsInformation(called_station_id="internet", tgpp_rat_type=b"\x06")
        )
        return request

    def ask(self, kind, used=None):
        request = self.request(kind)
        group = {"rating_group": 10}
        if kind != TERMINATION:
            group["requested_service_unit"] = RequestedServiceUnit()
        if used is not None:
            group["used_service_unit"] = [UsedServiceUnit(cc_total_octets=used)]
        request.add_multiple_services_credit_control(**group)
        return self.gateway.app.send_request(request, timeout=10)

    def event(self, action, octets=None, debit=None):
        """A one-time event; `debit` is the Refund-Information of the debit that is to be given back."""
        request = self.request(EVENT)
        request.requested_action = action
        group = {"rating_group": 10}
        if octets is not None:
            group["requested_service_unit"] = RequestedServiceUnit(cc_total_octets=octets)
        request.add_multiple_services_credit_control(**group)
        if debit is not None:
            request.multiple_services_credit_control[-1].refund_information = debit
        return self.gateway.app.send_request(request, timeout=10)


def group(answer):
    groups = answer.multiple_services_credit_control or []
    return groups[0] if groups else None


def granted(answer):
    """Octets; none is zero."""
    units = getattr(group(answer), "granted_service_unit", None)
    return getattr(units, "cc_total_octets", None) or 0
