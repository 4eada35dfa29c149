//! Credit-Control-Request (RFC 8506 section 3.1, TS 32.299 section 6.4), read in one pass without copying.
//!
//! Lenient as real clients need it: order and repetition of base AVPs do not matter, the application may be
//! named in Vendor-Specific-Application-Id only, and the service context is known by its last label.

use crate::ResultCode;
use crate::avp::{Avp, AvpError, Avps};
use crate::code::{self, AvpCode};
use crate::message::Message;
use crate::writer::FailedAvp;

use super::service_information::ServiceInformation;
use super::units::{TariffChange, Units};

/// CC-Request-Type, AVP 416.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestType {
    Initial,
    Update,
    Termination,
    Event,
}

/// Requested-Action, AVP 436.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestedAction {
    DirectDebiting,
    RefundAccount,
    CheckBalance,
    PriceEnquiry,
}

/// Subscription-Id-Type, AVP 450.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscriptionIdType {
    E164,
    Imsi,
    SipUri,
    Nai,
    Private,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscriptionId<'a> {
    pub kind: SubscriptionIdType,
    pub data: &'a str,
}

/// A fault of the request: what to answer, and the AVP to show.
#[derive(Clone, Copy, Debug)]
pub struct Fault<'a> {
    pub result: ResultCode,
    pub avp: FailedAvp<'a>,
}

/// Units used since the last report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsedUnits {
    pub units: Units,
    pub tariff_change: Option<TariffChange>,
}

/// Subscription-Ids that one request may carry.
const SUBSCRIPTION_IDS_MAX: usize = 8;

#[derive(Clone, Copy, Debug)]
pub struct CreditControlRequest<'a> {
    pub message: Message<'a>,
    pub session_id: &'a [u8],
    pub origin_host: &'a str,
    pub origin_realm: &'a str,
    pub destination_realm: Option<&'a str>,
    pub destination_host: Option<&'a str>,
    pub request_type: RequestType,
    pub number: u32,
    pub service_context: &'a str,
    pub requested_action: Option<RequestedAction>,
    pub origin_state_id: Option<u32>,
    /// Unix seconds.
    pub event_timestamp: Option<i64>,
    pub termination_cause: Option<u32>,
    pub user_name: Option<&'a str>,
    pub multiple_services: bool,
    pub service_identifier: Option<u32>,
    pub service_information: ServiceInformation<'a>,
    /// On the command level.
    pub refund_information: Option<&'a [u8]>,
    requested: Option<Avp<'a>>,
    subscription_ids: [Option<SubscriptionId<'a>>; SUBSCRIPTION_IDS_MAX],
}

fn missing<'a>(code: AvpCode) -> Fault<'a> {
    Fault { result: ResultCode::MISSING_AVP, avp: FailedAvp::Missing(code) }
}

fn fault<'a>(avp: Avp<'a>, error: AvpError) -> Fault<'a> {
    let result = match error {
        AvpError::Length => ResultCode::INVALID_AVP_LENGTH,
        AvpError::Value => ResultCode::INVALID_AVP_VALUE,
    };
    Fault { result, avp: FailedAvp::Whole(avp) }
}

/// Top-level AVPs of a CCR as they are found.
#[derive(Default)]
struct Found<'a> {
    session_id: Option<Avp<'a>>,
    origin_host: Option<Avp<'a>>,
    origin_realm: Option<Avp<'a>>,
    destination_realm: Option<Avp<'a>>,
    destination_host: Option<Avp<'a>>,
    request_type: Option<Avp<'a>>,
    number: Option<Avp<'a>>,
    service_context: Option<Avp<'a>>,
    requested_action: Option<Avp<'a>>,
    origin_state_id: Option<Avp<'a>>,
    event_timestamp: Option<Avp<'a>>,
    termination_cause: Option<Avp<'a>>,
    user_name: Option<Avp<'a>>,
    multiple_services: Option<Avp<'a>>,
    service_identifier: Option<Avp<'a>>,
    service_information: Option<Avp<'a>>,
    requested: Option<Avp<'a>>,
    refund_information: Option<Avp<'a>>,
}

impl<'a> CreditControlRequest<'a> {
    pub fn read(message: &Message<'a>) -> Result<CreditControlRequest<'a>, Fault<'a>> {
        let mut found = Found::default();
        let mut ids = [None; SUBSCRIPTION_IDS_MAX];
        let mut ids_found = 0;
        for avp in message.avps().map_while(Result::ok) {
            if avp.code == code::SUBSCRIPTION_ID || avp.code == code::SUBSCRIPTION_ID_EXTENSION {
                if let (Some(slot), Some(id)) = (ids.get_mut(ids_found), subscription_id(&avp)?) {
                    *slot = Some(id);
                    ids_found += 1;
                }
                continue;
            }
            if let Some(slot) = found.slot(avp.code) {
                // Some clients repeat Origin-Host and others; the first counts.
                slot.get_or_insert(avp);
            }
        }
        found.into_request(message, ids)
    }

    pub fn subscription_ids(&self) -> impl Iterator<Item = SubscriptionId<'a>> + use<'a> {
        self.subscription_ids.into_iter().flatten()
    }

    /// The specification that the context names, such as `32251`: the label just before the `@`.
    pub fn context_label(&self) -> &'a str {
        let name = self.service_context.split('@').next().unwrap_or_default();
        name.rsplit('.').next().unwrap_or_default()
    }

    /// Requested-Service-Unit on the command level.
    pub fn requested(&self) -> Result<Option<Units>, Fault<'a>> {
        let read = |group: Avp<'a>| Units::read(&group).map_err(|(avp, error)| fault(avp, error));
        Ok(self.requested.map(read).transpose()?.map(|(units, _)| units))
    }

    /// Used-Service-Units on the command level.
    pub fn used(&self) -> impl Iterator<Item = Result<UsedUnits, Fault<'a>>> + use<'a> {
        used_units(self.message.avps())
    }

    /// The rating groups (Multiple-Services-Credit-Control, AVP 456).
    pub fn groups(&self) -> impl Iterator<Item = Result<GroupsOf<'a>, Fault<'a>>> + use<'a> {
        let all = self.message.avps().map_while(Result::ok);
        all.filter(|avp| avp.code == code::MULTIPLE_SERVICES_CREDIT_CONTROL)
            .map(|avp| GroupsOf::read(&avp))
    }
}

impl<'a> Found<'a> {
    #[inline]
    fn slot(&mut self, code: AvpCode) -> Option<&mut Option<Avp<'a>>> {
        Some(match code {
            code::SESSION_ID => &mut self.session_id,
            code::ORIGIN_HOST => &mut self.origin_host,
            code::ORIGIN_REALM => &mut self.origin_realm,
            code::DESTINATION_REALM => &mut self.destination_realm,
            code::DESTINATION_HOST => &mut self.destination_host,
            code::CC_REQUEST_TYPE => &mut self.request_type,
            code::CC_REQUEST_NUMBER => &mut self.number,
            code::SERVICE_CONTEXT_ID => &mut self.service_context,
            code::REQUESTED_ACTION => &mut self.requested_action,
            code::ORIGIN_STATE_ID => &mut self.origin_state_id,
            code::EVENT_TIMESTAMP => &mut self.event_timestamp,
            code::TERMINATION_CAUSE => &mut self.termination_cause,
            code::USER_NAME => &mut self.user_name,
            code::MULTIPLE_SERVICES_INDICATOR => &mut self.multiple_services,
            code::SERVICE_IDENTIFIER => &mut self.service_identifier,
            code::SERVICE_INFORMATION => &mut self.service_information,
            code::REQUESTED_SERVICE_UNIT => &mut self.requested,
            code::REFUND_INFORMATION => &mut self.refund_information,
            _ => return None,
        })
    }

    fn into_request(
        self,
        message: &Message<'a>,
        subscription_ids: [Option<SubscriptionId<'a>>; SUBSCRIPTION_IDS_MAX],
    ) -> Result<CreditControlRequest<'a>, Fault<'a>> {
        let text = |avp: Avp<'a>| avp.text().map_err(|error| fault(avp, error));
        let number = |avp: Avp<'a>| avp.u32().map_err(|error| fault(avp, error));
        let needed = |avp: Option<Avp<'a>>, code| avp.ok_or(missing(code));
        let session_id = needed(self.session_id, code::SESSION_ID)?;
        if session_id.data.is_empty() {
            return Err(fault(session_id, AvpError::Value));
        }
        let request_type = needed(self.request_type, code::CC_REQUEST_TYPE)?;
        let request_type_value = match number(request_type)? {
            1 => RequestType::Initial,
            2 => RequestType::Update,
            3 => RequestType::Termination,
            4 => RequestType::Event,
            _ => return Err(fault(request_type, AvpError::Value)),
        };
        let requested_action = self.requested_action.map(action).transpose()?;
        if request_type_value == RequestType::Event && requested_action.is_none() {
            return Err(missing(code::REQUESTED_ACTION));
        }
        let information = self.service_information;
        Ok(CreditControlRequest {
            message: *message,
            session_id: session_id.data,
            origin_host: text(needed(self.origin_host, code::ORIGIN_HOST)?)?,
            origin_realm: text(needed(self.origin_realm, code::ORIGIN_REALM)?)?,
            destination_realm: self.destination_realm.map(text).transpose()?,
            destination_host: self.destination_host.map(text).transpose()?,
            request_type: request_type_value,
            number: number(needed(self.number, code::CC_REQUEST_NUMBER)?)?,
            service_context: text(needed(self.service_context, code::SERVICE_CONTEXT_ID)?)?,
            requested_action,
            origin_state_id: self.origin_state_id.map(number).transpose()?,
            event_timestamp: self
                .event_timestamp
                .map(|avp| avp.unix_seconds().map_err(|error| fault(avp, error)))
                .transpose()?,
            termination_cause: self.termination_cause.map(number).transpose()?,
            user_name: self.user_name.map(text).transpose()?,
            multiple_services: self.multiple_services.map(number).transpose()? == Some(1),
            service_identifier: self.service_identifier.map(number).transpose()?,
            service_information: information
                .map_or(ServiceInformation::default(), |avp| ServiceInformation::read(&avp)),
            refund_information: self.refund_information.map(|avp| avp.data),
            requested: self.requested,
            subscription_ids,
        })
    }
}

fn action<'a>(avp: Avp<'a>) -> Result<RequestedAction, Fault<'a>> {
    Ok(match avp.u32().map_err(|error| fault(avp, error))? {
        0 => RequestedAction::DirectDebiting,
        1 => RequestedAction::RefundAccount,
        2 => RequestedAction::CheckBalance,
        3 => RequestedAction::PriceEnquiry,
        _ => return Err(fault(avp, AvpError::Value)),
    })
}

/// Either form; an extension of a kind that we do not know is passed over.
fn subscription_id<'a>(group: &Avp<'a>) -> Result<Option<SubscriptionId<'a>>, Fault<'a>> {
    let text = |avp: Avp<'a>| avp.text().map_err(|error| fault(avp, error));
    if group.code == code::SUBSCRIPTION_ID_EXTENSION {
        let Some(avp) = group.members().map_while(Result::ok).next() else {
            return Err(fault(*group, AvpError::Value));
        };
        let kind = match avp.code {
            code::SUBSCRIPTION_ID_E164 => SubscriptionIdType::E164,
            code::SUBSCRIPTION_ID_IMSI => SubscriptionIdType::Imsi,
            code::SUBSCRIPTION_ID_SIP_URI => SubscriptionIdType::SipUri,
            code::SUBSCRIPTION_ID_NAI => SubscriptionIdType::Nai,
            code::SUBSCRIPTION_ID_PRIVATE => SubscriptionIdType::Private,
            _ => return Ok(None),
        };
        return Ok(Some(SubscriptionId { kind, data: text(avp)? }));
    }
    let (mut kind, mut data) = (None, None);
    for avp in group.members().map_while(Result::ok) {
        match avp.code {
            code::SUBSCRIPTION_ID_TYPE => kind = Some(avp),
            code::SUBSCRIPTION_ID_DATA => data = Some(avp),
            _ => {}
        }
    }
    let kind = kind.ok_or(missing(code::SUBSCRIPTION_ID_TYPE))?;
    let data = data.ok_or(missing(code::SUBSCRIPTION_ID_DATA))?;
    let kind = match kind.u32().map_err(|error| fault(kind, error))? {
        0 => SubscriptionIdType::E164,
        1 => SubscriptionIdType::Imsi,
        2 => SubscriptionIdType::SipUri,
        3 => SubscriptionIdType::Nai,
        4 => SubscriptionIdType::Private,
        _ => return Err(fault(kind, AvpError::Value)),
    };
    Ok(Some(SubscriptionId { kind, data: text(data)? }))
}

fn used_units<'a>(avps: Avps<'a>) -> impl Iterator<Item = Result<UsedUnits, Fault<'a>>> + use<'a> {
    let used = avps.map_while(Result::ok).filter(|avp| avp.code == code::USED_SERVICE_UNIT);
    used.map(|group| {
        Units::read(&group)
            .map(|(units, tariff_change)| UsedUnits { units, tariff_change })
            .map_err(|(avp, error)| fault(avp, error))
    })
}

/// One Multiple-Services-Credit-Control of a request.
#[derive(Clone, Copy, Debug)]
pub struct GroupsOf<'a> {
    pub rating_group: Option<u32>,
    /// The first Service-Identifier.
    pub service_identifier: Option<u32>,
    /// None: nothing more is asked for. All empty: as the server decides.
    pub requested: Option<Units>,
    /// 0 THRESHOLD … 8 POOL_EXHAUSTED; inside the used units or beside them.
    pub reporting_reason: Option<u32>,
    /// Names the debit that is to be given back.
    pub refund_information: Option<&'a [u8]>,
    avp: Avp<'a>,
}

impl<'a> GroupsOf<'a> {
    const REASON_FINAL: u32 = 2;

    fn read(group: &Avp<'a>) -> Result<GroupsOf<'a>, Fault<'a>> {
        let mut read = GroupsOf {
            rating_group: None,
            service_identifier: None,
            requested: None,
            reporting_reason: None,
            refund_information: None,
            avp: *group,
        };
        for avp in group.members() {
            let avp = avp.map_err(|_| fault(*group, AvpError::Length))?;
            let number = || avp.u32().map_err(|error| fault(avp, error));
            match avp.code {
                code::RATING_GROUP => read.rating_group = Some(number()?),
                code::SERVICE_IDENTIFIER if read.service_identifier.is_none() => {
                    read.service_identifier = Some(number()?);
                }
                code::REQUESTED_SERVICE_UNIT => {
                    let units = Units::read(&avp).map_err(|(avp, error)| fault(avp, error))?;
                    read.requested = Some(units.0);
                }
                code::REFUND_INFORMATION => read.refund_information = Some(avp.data),
                code::REPORTING_REASON => read.reporting_reason = Some(number()?),
                code::USED_SERVICE_UNIT if read.reporting_reason.is_none() => {
                    let inside = avp.member(code::REPORTING_REASON);
                    read.reporting_reason = inside.and_then(|avp| avp.u32().ok());
                }
                _ => {}
            }
        }
        Ok(read)
    }

    pub fn used(&self) -> impl Iterator<Item = Result<UsedUnits, Fault<'a>>> + use<'a> {
        used_units(self.avp.members())
    }

    /// No more of this group will come.
    pub fn is_final(&self) -> bool {
        self.reporting_reason == Some(Self::REASON_FINAL)
    }
}
