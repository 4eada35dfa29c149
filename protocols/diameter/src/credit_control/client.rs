//! The client's side: writing Credit-Control-Requests, reading the answers.

use crate::avp::Avp;
use crate::code;
use crate::message::Message;
use crate::writer::{Identity, MessageWriter};

use super::request::{RequestType, RequestedAction, SubscriptionId, SubscriptionIdType};
use super::units::{DecimalMoney, Units};

/// What every request of a session says.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    pub session_id: &'a str,
    pub origin: Identity<'a>,
    pub destination_realm: &'a str,
    pub destination_host: Option<&'a str>,
    pub service_context: &'a str,
    pub request_type: RequestType,
    pub number: u32,
    pub hop_by_hop: u32,
    pub end_to_end: u32,
    pub is_retransmission: bool,
    pub origin_state_id: Option<u32>,
    pub subscription_ids: &'a [SubscriptionId<'a>],
    pub requested_action: Option<RequestedAction>,
    pub event_timestamp: Option<i64>,
    /// On the command level, for one-time events.
    pub requested: Option<Units>,
    pub service_identifier: Option<u32>,
    pub groups: &'a [RequestGroup],
    pub access_point: Option<&'a str>,
    pub serving_network: Option<&'a str>,
    pub called_party: Option<&'a str>,
    pub calling_party: Option<&'a str>,
    pub recipient: Option<&'a str>,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct RequestGroup {
    pub rating_group: Option<u32>,
    pub service_identifier: Option<u32>,
    pub requested: Option<Units>,
    pub used: Option<Units>,
    pub reporting_reason: Option<u32>,
}

pub fn write_request(out: &mut Vec<u8>, head: &RequestHead<'_>) {
    let application = code::APPLICATION_CREDIT_CONTROL;
    let mut message = MessageWriter::request(
        out,
        code::COMMAND_CREDIT_CONTROL,
        application,
        head.hop_by_hop,
        head.end_to_end,
    );
    if head.is_retransmission {
        message.set_retransmitted();
    }
    message.text(code::SESSION_ID, head.session_id);
    message.text(code::ORIGIN_HOST, head.origin.host);
    message.text(code::ORIGIN_REALM, head.origin.realm);
    message.text(code::DESTINATION_REALM, head.destination_realm);
    if let Some(host) = head.destination_host {
        message.text(code::DESTINATION_HOST, host);
    }
    message.u32(code::AUTH_APPLICATION_ID, application);
    message.text(code::SERVICE_CONTEXT_ID, head.service_context);
    let request_type = match head.request_type {
        RequestType::Initial => 1,
        RequestType::Update => 2,
        RequestType::Termination => 3,
        RequestType::Event => 4,
    };
    message.u32(code::CC_REQUEST_TYPE, request_type);
    message.u32(code::CC_REQUEST_NUMBER, head.number);
    if let Some(state) = head.origin_state_id {
        message.u32(code::ORIGIN_STATE_ID, state);
    }
    if let Some(at) = head.event_timestamp {
        message.time(code::EVENT_TIMESTAMP, at);
    }
    for id in head.subscription_ids {
        write_subscription_id(&mut message, id);
    }
    if let Some(action) = head.requested_action {
        message.u32(code::REQUESTED_ACTION, action as u32);
    }
    if head.request_type == RequestType::Termination {
        message.u32(code::TERMINATION_CAUSE, 1);
    }
    if let Some(units) = &head.requested {
        message.group(code::REQUESTED_SERVICE_UNIT, |group| units.write(group));
    }
    if let Some(identifier) = head.service_identifier {
        message.u32(code::SERVICE_IDENTIFIER, identifier);
    }
    if head.request_type == RequestType::Initial {
        message.u32(code::MULTIPLE_SERVICES_INDICATOR, 1);
    }
    head.groups.iter().for_each(|group| group.write(&mut message));
    write_service_information(&mut message, head);
    message.finish();
}

fn write_subscription_id(message: &mut MessageWriter<'_>, id: &SubscriptionId<'_>) {
    let kind = match id.kind {
        SubscriptionIdType::E164 => 0,
        SubscriptionIdType::Imsi => 1,
        SubscriptionIdType::SipUri => 2,
        SubscriptionIdType::Nai => 3,
        SubscriptionIdType::Private => 4,
    };
    message.group(code::SUBSCRIPTION_ID, |group| {
        group.u32(code::SUBSCRIPTION_ID_TYPE, kind);
        group.text(code::SUBSCRIPTION_ID_DATA, id.data);
    });
}

fn write_service_information(message: &mut MessageWriter<'_>, head: &RequestHead<'_>) {
    let has_ps = head.access_point.is_some() || head.serving_network.is_some();
    let has_ims = head.called_party.is_some() || head.calling_party.is_some();
    if !has_ps && !has_ims && head.recipient.is_none() {
        return;
    }
    message.group(code::SERVICE_INFORMATION, |information| {
        if has_ps {
            information.group(code::PS_INFORMATION, |ps| {
                if let Some(apn) = head.access_point {
                    ps.text(code::CALLED_STATION_ID, apn);
                }
                if let Some(network) = head.serving_network {
                    ps.text(code::TGPP_SGSN_MCC_MNC, network);
                }
            });
        }
        if has_ims {
            information.group(code::IMS_INFORMATION, |ims| {
                ims.u32(code::ROLE_OF_NODE, 0);
                ims.u32(code::NODE_FUNCTIONALITY, 0);
                if let Some(calling) = head.calling_party {
                    ims.text(code::CALLING_PARTY_ADDRESS, calling);
                }
                if let Some(called) = head.called_party {
                    ims.text(code::CALLED_PARTY_ADDRESS, called);
                }
            });
        }
        if let Some(recipient) = head.recipient {
            information.group(code::SMS_INFORMATION, |sms| {
                sms.group(code::RECIPIENT_INFO, |info| {
                    info.group(code::RECIPIENT_ADDRESS, |address| {
                        address.u32(code::ADDRESS_TYPE, 1);
                        address.text(code::ADDRESS_DATA, recipient);
                    });
                });
            });
        }
    });
}

impl RequestGroup {
    fn write(&self, message: &mut MessageWriter<'_>) {
        message.group(code::MULTIPLE_SERVICES_CREDIT_CONTROL, |group| {
            if let Some(units) = &self.requested {
                group.group(code::REQUESTED_SERVICE_UNIT, |inner| units.write(inner));
            }
            if let Some(units) = &self.used {
                group.group(code::USED_SERVICE_UNIT, |inner| {
                    if let Some(reason) = self.reporting_reason {
                        inner.u32(code::REPORTING_REASON, reason);
                    }
                    units.write(inner);
                });
            }
            if let Some(identifier) = self.service_identifier {
                group.u32(code::SERVICE_IDENTIFIER, identifier);
            }
            if let Some(rating_group) = self.rating_group {
                group.u32(code::RATING_GROUP, rating_group);
            }
        });
    }
}

/// What a client reads of a Credit-Control-Answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreditControlResult {
    pub result: u32,
    pub number: u32,
    pub groups: Vec<GroupAnswered>,
    pub granted: Option<Units>,
    pub cost: Option<DecimalMoney>,
    pub check_balance: Option<u32>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupAnswered {
    pub rating_group: Option<u32>,
    pub result: Option<u32>,
    pub granted: Option<Units>,
    pub validity_seconds: Option<u32>,
    /// Seconds since 1970.
    pub tariff_time_change: Option<i64>,
    /// Final-Unit-Action: 0 terminate, 1 redirect, 2 restrict.
    pub final_action: Option<u32>,
}

impl CreditControlResult {
    /// None when the answer has no result code.
    pub fn read(message: &Message<'_>) -> Option<CreditControlResult> {
        let number = |code| message.avp(code).and_then(|avp| avp.u32().ok());
        let units = |avp: Avp<'_>| Units::read(&avp).ok().map(|(units, _)| units);
        let groups = message.avps().map_while(Result::ok);
        let groups = groups.filter(|avp| avp.code == code::MULTIPLE_SERVICES_CREDIT_CONTROL);
        Some(CreditControlResult {
            result: number(code::RESULT_CODE)?,
            number: number(code::CC_REQUEST_NUMBER).unwrap_or(0),
            groups: groups.map(|group| GroupAnswered::read(&group)).collect(),
            granted: message.avp(code::GRANTED_SERVICE_UNIT).and_then(units),
            cost: message.avp(code::COST_INFORMATION).and_then(|avp| DecimalMoney::read(&avp).ok()),
            check_balance: number(code::CHECK_BALANCE_RESULT),
        })
    }
}

impl GroupAnswered {
    fn read(group: &Avp<'_>) -> GroupAnswered {
        let mut read = GroupAnswered::default();
        for avp in group.members().map_while(Result::ok) {
            match avp.code {
                code::RATING_GROUP => read.rating_group = avp.u32().ok(),
                code::RESULT_CODE => read.result = avp.u32().ok(),
                code::VALIDITY_TIME => read.validity_seconds = avp.u32().ok(),
                code::GRANTED_SERVICE_UNIT => {
                    read.granted = Units::read(&avp).ok().map(|(units, _)| units);
                    let change = avp.member(code::TARIFF_TIME_CHANGE);
                    read.tariff_time_change = change.and_then(|avp| avp.unix_seconds().ok());
                }
                code::FINAL_UNIT_INDICATION => {
                    read.final_action =
                        avp.member(code::FINAL_UNIT_ACTION).and_then(|avp| avp.u32().ok());
                }
                _ => {}
            }
        }
        read
    }
}
