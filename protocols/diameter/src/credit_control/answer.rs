//! Credit-Control-Answer (RFC 8506 section 3.2, TS 32.299 section 6.4.3).

use crate::ResultCode;
use crate::code;
use crate::message::Header;
use crate::writer::{Identity, MessageWriter};

use super::units::{DecimalMoney, Units};

/// What a server answers; what is None is left out.
#[derive(Clone, Debug, Default)]
pub struct CreditControlAnswer<'a> {
    pub request_type: u32,
    pub number: u32,
    pub groups: Vec<AnswerGroup<'a>>,
    /// Granted on the command level (one-time events, requests without multiple services).
    pub granted: Option<Units>,
    /// Unix seconds, inside the granted units.
    pub tariff_time_change: Option<i64>,
    pub validity_seconds: Option<u32>,
    pub final_unit: Option<FinalUnit<'a>>,
    pub cost: Option<DecimalMoney>,
    /// Some(true) = ENOUGH_CREDIT.
    pub check_balance: Option<bool>,
    pub remaining_balance: Option<DecimalMoney>,
    /// CC-Session-Failover: 0 or 1.
    pub session_failover: Option<u32>,
    /// 0 terminate, 1 continue, 2 retry and terminate.
    pub failure_handling: Option<u32>,
    /// As in [`AnswerGroup`], where units stand on the command level.
    pub refund_information: Option<[u8; 8]>,
    /// 0 terminate or buffer, 1 continue.
    pub direct_debiting_failure_handling: Option<u32>,
    pub origin_state_id: Option<u32>,
    /// A whole AVP, padded, to be shown in Failed-AVP.
    pub failed: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug)]
pub struct GroupResult(pub ResultCode);

/// One Multiple-Services-Credit-Control. The Result-Code is always written: some clients fail without it.
#[derive(Clone, Debug)]
pub struct AnswerGroup<'a> {
    pub rating_group: Option<u32>,
    pub service_identifier: Option<u32>,
    pub result: GroupResult,
    pub granted: Option<Units>,
    /// Unix seconds, inside the granted units.
    pub tariff_time_change: Option<i64>,
    pub validity_seconds: Option<u32>,
    pub time_threshold: Option<u32>,
    pub volume_threshold: Option<u32>,
    pub unit_threshold: Option<u32>,
    pub holding_seconds: Option<u32>,
    pub final_unit: Option<FinalUnit<'a>>,
    /// Of a debit: what a refund is to name it by (TS 32.299 section 7.2).
    pub refund_information: Option<[u8; 8]>,
}

/// Final-Unit-Indication, AVP 430.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinalUnit<'a> {
    Terminate,
    /// A URL, a SIP URI or an IP address.
    Redirect(&'a str),
    /// An IPFilterRule.
    Restrict(&'a str),
}

impl FinalUnit<'_> {
    fn write(&self, message: &mut MessageWriter<'_>) {
        message.group(code::FINAL_UNIT_INDICATION, |group| match self {
            FinalUnit::Terminate => group.u32(code::FINAL_UNIT_ACTION, 0),
            FinalUnit::Redirect(address) => {
                group.u32(code::FINAL_UNIT_ACTION, 1);
                group.group(code::REDIRECT_SERVER, |server| {
                    server.u32(code::REDIRECT_ADDRESS_TYPE, redirect_type(address));
                    server.text(code::REDIRECT_SERVER_ADDRESS, address);
                });
            }
            FinalUnit::Restrict(rule) => {
                group.u32(code::FINAL_UNIT_ACTION, 2);
                group.text(code::RESTRICTION_FILTER_RULE, rule);
            }
        });
    }
}

/// Redirect-Address-Type, AVP 433.
fn redirect_type(address: &str) -> u32 {
    match address.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V4(_)) => 0,
        Ok(std::net::IpAddr::V6(_)) => 1,
        Err(_) if address.starts_with("sip:") || address.starts_with("sips:") => 3,
        Err(_) => 2,
    }
}

/// Writes the answer to a request that was served, or refused with a result of credit control.
/// `proxy_info` is what [`proxy_info`](crate::writer::proxy_info) took from the request.
pub fn write_answer(
    out: &mut Vec<u8>,
    request: &Header,
    proxy_info: &[u8],
    session_id: &[u8],
    origin: Identity<'_>,
    result: ResultCode,
    answer: &CreditControlAnswer<'_>,
) {
    let mut message = MessageWriter::answer(out, request, result);
    message.octets(code::SESSION_ID, session_id);
    message.u32(code::RESULT_CODE, result.0);
    message.text(code::ORIGIN_HOST, origin.host);
    message.text(code::ORIGIN_REALM, origin.realm);
    message.u32(code::AUTH_APPLICATION_ID, code::APPLICATION_CREDIT_CONTROL);
    message.u32(code::CC_REQUEST_TYPE, answer.request_type);
    message.u32(code::CC_REQUEST_NUMBER, answer.number);
    for (code, value) in [
        (code::ORIGIN_STATE_ID, answer.origin_state_id),
        (code::CC_SESSION_FAILOVER, answer.session_failover),
        (code::VALIDITY_TIME, answer.validity_seconds),
        (code::CREDIT_CONTROL_FAILURE_HANDLING, answer.failure_handling),
        (code::DIRECT_DEBITING_FAILURE_HANDLING, answer.direct_debiting_failure_handling),
        (code::CHECK_BALANCE_RESULT, answer.check_balance.map(|enough| u32::from(!enough))),
    ] {
        if let Some(value) = value {
            message.u32(code, value);
        }
    }
    write_granted(&mut message, answer.granted.as_ref(), answer.tariff_time_change);
    for group in &answer.groups {
        group.write(&mut message);
    }
    if let Some(final_unit) = &answer.final_unit {
        final_unit.write(&mut message);
    }
    if let Some(cost) = answer.cost {
        message.group(code::COST_INFORMATION, |group| cost.write(group));
    }
    if let Some(debit) = &answer.refund_information {
        message.octets(code::REFUND_INFORMATION, debit);
    }
    if let Some(failed) = &answer.failed {
        message.group(code::FAILED_AVP, |group| group.append(failed));
    }
    if let Some(balance) = answer.remaining_balance {
        message.group(code::REMAINING_BALANCE, |group| balance.write(group));
    }
    message.append(proxy_info);
    message.finish();
}

fn write_granted(
    message: &mut MessageWriter<'_>,
    granted: Option<&Units>,
    tariff_time_change: Option<i64>,
) {
    let Some(granted) = granted else { return };
    message.group(code::GRANTED_SERVICE_UNIT, |units| {
        if let Some(at) = tariff_time_change {
            units.time(code::TARIFF_TIME_CHANGE, at);
        }
        granted.write(units);
    });
}

impl AnswerGroup<'_> {
    fn write(&self, message: &mut MessageWriter<'_>) {
        message.group(code::MULTIPLE_SERVICES_CREDIT_CONTROL, |group| {
            write_granted(group, self.granted.as_ref(), self.tariff_time_change);
            for (code, value) in [
                (code::SERVICE_IDENTIFIER, self.service_identifier),
                (code::RATING_GROUP, self.rating_group),
                (code::VALIDITY_TIME, self.validity_seconds),
                (code::RESULT_CODE, Some(self.result.0.0)),
            ] {
                if let Some(value) = value {
                    group.u32(code, value);
                }
            }
            if let Some(final_unit) = &self.final_unit {
                final_unit.write(group);
            }
            if let Some(debit) = &self.refund_information {
                group.octets(code::REFUND_INFORMATION, debit);
            }
            for (code, value) in [
                (code::TIME_QUOTA_THRESHOLD, self.time_threshold),
                (code::VOLUME_QUOTA_THRESHOLD, self.volume_threshold),
                (code::UNIT_QUOTA_THRESHOLD, self.unit_threshold),
                (code::QUOTA_HOLDING_TIME, self.holding_seconds),
            ] {
                if let Some(value) = value {
                    group.u32(code, value);
                }
            }
        });
    }
}
