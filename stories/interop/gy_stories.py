"""What a data session has to be, lived through by a gateway that is not ours.

Arguments: Diameter port, HTTP address, API key. The world is the one of the stories: carrier wavecom, VNOs aria and
brava with 1000.00 each, data at 0.10 a MiB and 19 % tax. Ends with 1 and says why when something is not as it should be.
"""
import json
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

from gy import (
    DEBIT,
    INITIAL,
    REFUND,
    SUCCESS,
    TERMINATION,
    UPDATE,
    DataSession,
    Gateway,
    granted,
    group,
)

MIB = 1 << 20
CREDIT_LIMIT_REACHED = 4012
INVALID_AVP_VALUE = 5004
REDIRECT = 1

port, http, key = sys.argv[1:4]


def ask(method, path, body=None):
    request = urllib.request.Request(
        f"http://{http}{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read() or b"null")


def money(amount):
    return {"money": {"amount": amount, "currency": "EUR"}}


def account(subscriber):
    return subscriber.replace("sub-", "acct-") + "-1"


def top_up(vno, subscriber, amount):
    ask("POST", f"/v1/vnos/{vno}/accounts/{account(subscriber)}/top-ups", money(amount))


def subscriber(vno, msisdn, amount=None):
    identity = {"type": "msisdn", "value": f"+{msisdn}"}
    body = {"name": "Alice", "lines": [{"identities": [identity]}]}
    created = ask("POST", f"/v1/vnos/{vno}/subscribers", body)["id"]
    if amount is not None:
        top_up(vno, created, amount)
    return created


def holding(vno, subscriber):
    found = ask("GET", f"/v1/vnos/{vno}/accounts/{account(subscriber)}")
    return Decimal(found["balance"]["amount"]), Decimal(found["held"]["amount"])


def eventually(what, probe):
    deadline = time.monotonic() + 10
    while not probe():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.01)


pushes = []
gateway = Gateway(
    port,
    "ocs.tandem.example",
    "tandem.example",
    "pgw.wavecom.example",
    "wavecom.example",
    "tandem.example",
    pushed=lambda kind, session: pushes.append((kind, session)),
)


def pushed(kind):
    return {session for what, session in pushes if what == kind}


def the_same_usage_in_1_7_or_100_reports_costs_the_same_on_every_leg():
    total = 700 * 12_345
    legs = []
    for index, reports in enumerate([1, 7, 100]):
        msisdn = f"4915110{index}"
        alice = subscriber("aria", msisdn, "10.00")
        session = DataSession(gateway, msisdn)
        assert granted(session.ask(INITIAL)) > 0
        for _ in range(reports - 1):
            assert session.ask(UPDATE, total // reports).result_code == SUCCESS
        assert session.ask(TERMINATION, total // reports).result_code == SUCCESS
        balance, held = holding("aria", alice)
        assert held == 0
        records = f"/v1/vnos/aria/usage-records?subscriber={alice}"
        eventually("a usage record", lambda: ask("GET", records)["items"])
        groups = ask("GET", records)["items"][0]["groups"]
        legs.append((balance, groups))
    # 8,641,500 octets at 0.10 a MiB, with 19 % on top.
    exact = 10 - Decimal(total) / MIB * Decimal("0.119")
    assert abs(legs[0][0] - exact) < Decimal("0.00001"), legs[0]
    assert legs[0] == legs[1] == legs[2], legs


def parallel_sessions_never_spend_more_than_there_is():
    alice = subscriber("aria", "491512", "10.00")
    with ThreadPoolExecutor(40) as pool:
        sessions = [DataSession(gateway, "491512") for _ in range(200)]
        running = list(zip(sessions, pool.map(lambda session: session.ask(INITIAL), sessions)))
        refused = [answer for _, answer in running if answer.result_code == CREDIT_LIMIT_REACHED]
        running = [(session, granted(answer)) for session, answer in running if granted(answer) > 0]
        assert len(running) > 20 and len(running) + len(refused) == 200, (len(running), len(refused))
        while running:
            used = pool.map(lambda each: granted(each[0].ask(UPDATE, each[1])), running)
            running = [(session, units) for (session, _), units in zip(running, list(used))]
            ended = [session for session, units in running if units == 0]
            list(pool.map(lambda session: session.ask(TERMINATION, 0), ended))
            running = [each for each in running if each[1] > 0]
    balance, held = holding("aria", alice)
    assert held == 0 and 0 <= balance < Decimal("0.02"), (balance, held)


def an_employers_allowance_then_the_subscribers_own_money():
    employer = subscriber("aria", "491513")
    company = account(employer)
    ask("PATCH", f"/v1/vnos/aria/accounts/{company}", {"credit_limit": "100.00", "shared": True})
    offer = {
        "id": "company",
        "name": "Company data",
        "recurring_fee": "10.00",
        "tax_basis_points": 1900,
        "period": "1m",
        "allowances": [
            {"name": "data", "unit": "octets", "quantity": 20 * MIB, "value": "10.00"}
        ],
    }
    ask("POST", "/v1/vnos/aria/offers", offer)
    ask("POST", f"/v1/vnos/aria/subscribers/{employer}/subscriptions", {"offer": "company"})
    alice = subscriber("aria", "491514", "10.00")
    line = alice.replace("sub-", "line-") + "-1"
    rules = [{"account": company, "allowances_only": True}, {"account": account(alice)}]
    ask("PATCH", f"/v1/vnos/aria/lines/{line}", {"payer_rules": rules})
    session = DataSession(gateway, "491514")
    assert granted(session.ask(INITIAL)) > 0
    assert session.ask(UPDATE, 15 * MIB).result_code == SUCCESS
    assert session.ask(TERMINATION, 15 * MIB).result_code == SUCCESS
    # 30 MiB: 20 of the allowance, 10 at 0.10 with 19 % on top.
    assert holding("aria", employer) == (Decimal("-11.90"), 0), holding("aria", employer)
    assert holding("aria", alice) == (Decimal("8.81"), 0), holding("aria", alice)


def a_top_up_during_a_redirect_brings_the_session_back():
    portal = {"action": "redirect", "address": "http://top-up.aria.example"}
    ask("PATCH", "/v1/vnos/aria", {"final_unit": portal})
    alice = subscriber("aria", "491515", "0.30")
    session = DataSession(gateway, "491515")
    answer = session.ask(INITIAL)
    for _ in range(100):
        if granted(answer) == 0:
            break
        answer = session.ask(UPDATE, granted(answer))
    final = group(answer).final_unit_indication
    assert final.final_unit_action == REDIRECT, answer
    assert final.redirect_server.redirect_server_address == portal["address"], answer
    top_up("aria", alice, "5.00")
    eventually("a RAR", lambda: session.id in pushed("ReAuthRequest"))
    assert granted(session.ask(UPDATE)) > 0, "the session goes on"
    assert session.ask(TERMINATION, MIB).result_code == SUCCESS


def a_vno_without_credit_is_refused_and_the_other_goes_on():
    ask("POST", "/v1/vnos/brava/deposits", money("-995.00"))
    subscriber("brava", "491516", "1000.00")
    subscriber("aria", "491517", "10.00")
    other = DataSession(gateway, "491517")
    assert granted(other.ask(INITIAL)) > 0
    running = []
    for _ in range(200):
        session = DataSession(gateway, "491516")
        answer = session.ask(INITIAL)
        if granted(answer) == 0:
            break
        running.append(session)
    assert running and granted(answer) == 0, "5.00 do not cover 200 sessions"
    assert answer.result_code == CREDIT_LIMIT_REACHED, answer.result_code
    expected = {session.id for session in running}
    eventually("an ASR for each session", lambda: pushed("AbortSessionRequest") >= expected)
    for session in running:
        assert granted(session.ask(UPDATE, 0)) == 0, "nothing more is granted"
        session.ask(TERMINATION, 0)
    assert pushed("AbortSessionRequest") == expected, "no other"
    assert granted(other.ask(UPDATE, MIB)) > 0, "the other VNO's session goes on"
    other.ask(TERMINATION, 0)
    ask("POST", "/v1/vnos/brava/deposits", money("500.00"))
    again = DataSession(gateway, "491516")
    assert granted(again.ask(INITIAL)) > 0, "money opens the gate"
    again.ask(TERMINATION, 0)


def a_refund_names_its_debit_and_gives_back_once_what_that_cost():
    alice = subscriber("aria", "491518", "10.00")
    answer = DataSession(gateway, "491518").event(DEBIT, 10 * MIB)
    assert answer.result_code == SUCCESS, answer.result_code
    assert holding("aria", alice) == (Decimal("8.81"), 0), holding("aria", alice)
    debit = group(answer).refund_information
    half = DataSession(gateway, "491518").event(REFUND, 5 * MIB, debit)
    assert half.result_code == SUCCESS, half.result_code
    rest = DataSession(gateway, "491518").event(REFUND, None, debit)
    assert rest.result_code == SUCCESS, rest.result_code
    assert holding("aria", alice) == (10, 0), holding("aria", alice)
    for octets, of in [(None, debit), (1, debit), (None, b"\0" * 8), (None, b"?")]:
        refused = DataSession(gateway, "491518").event(REFUND, octets, of)
        assert refused.result_code == INVALID_AVP_VALUE, (of, refused.result_code)
    assert holding("aria", alice) == (10, 0), holding("aria", alice)
    record = ask("GET", f"/v1/vnos/aria/usage-records?subscriber={alice}")["items"][0]
    assert record["refunded_units"] == 10 * MIB, record


stories = [
    the_same_usage_in_1_7_or_100_reports_costs_the_same_on_every_leg,
    parallel_sessions_never_spend_more_than_there_is,
    an_employers_allowance_then_the_subscribers_own_money,
    a_top_up_during_a_redirect_brings_the_session_back,
    a_vno_without_credit_is_refused_and_the_other_goes_on,
    a_refund_names_its_debit_and_gives_back_once_what_that_cost,
]
try:
    for story in stories:
        began = time.monotonic()
        story()
        took = time.monotonic() - began
        print(f"{story.__name__.replace('_', ' ')}: yes, in {took:.1f} s", flush=True)
    audit = ask("GET", "/v1/audit")
    assert audit["clean"] is True, audit
finally:
    gateway.stop()
