//! From a Credit-Control-Request to the platform's words.

use diameter_protocol::ResultCode;
use diameter_protocol::credit_control::{
    CreditControlRequest, Fault, RequestType, RequestedAction, SubscriptionIdType,
    TariffChange as Wire, Units, UsedUnits as WireUsed,
};
use smallvec::SmallVec;
use tandem_domain::charging::{
    Context, EndCause, EventAction, EventRequest, GroupKey, GroupRequest, NamedDebit, NamedMoney,
    SessionVerb, TariffChange, UnitCounts, UsedUnits,
};
use tandem_domain::command::Command;
use tandem_domain::digits::Digits;
use tandem_domain::identifier::{Identity, IdentityKind, PeerId, SessionId};
use tandem_domain::money::{Amount, Currency};
use tandem_domain::service::{Direction, Service};
use tandem_domain::time::Timestamp;

use super::spare::Spare;

/// What the answer needs to know of the request beside its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub request_type: RequestType,
    pub number: u32,
    /// Units stand inside Multiple-Services-Credit-Control.
    pub in_groups: bool,
    /// The service context is one of 3GPP's: AVPs of theirs are known.
    pub is_of_3gpp: bool,
    pub action: Option<RequestedAction>,
    /// Of an event: what it is for.
    pub group: GroupKey,
}

/// A session's request is made of a spare one, where there is one: its host, realm and access point are mostly the same.
pub(super) fn command<'a>(
    request: &CreditControlRequest<'a>,
    peer: PeerId,
    spare: &mut Spare,
) -> Result<(Command, Shape), Fault<'a>> {
    let in_groups = request.groups().next().is_some();
    let mut shape = Shape {
        request_type: request.request_type,
        number: request.number,
        in_groups,
        is_of_3gpp: request.service_context.ends_with("@3gpp.org"),
        action: request.requested_action,
        group: GroupKey::default(),
    };
    if let (RequestType::Event, Some(action)) = (request.request_type, request.requested_action) {
        let event = event(request, action, peer)?;
        shape.group = event.group;
        return Ok((Command::Event(Box::new(event)), shape));
    }
    let verb = match request.request_type {
        RequestType::Initial => SessionVerb::Open,
        RequestType::Termination => SessionVerb::Close(end_cause(request.termination_cause)),
        RequestType::Update | RequestType::Event => SessionVerb::Report,
    };
    let mut session = spare.request();
    session.verb = verb;
    if session.key.len() == request.session_id.len() {
        session.key.copy_from_slice(request.session_id);
    } else {
        session.key = request.session_id.into();
    }
    session.number = request.number;
    session.peer = peer;
    if !session.origin_host.eq_ignore_ascii_case(request.origin_host) {
        session.origin_host = request.origin_host.to_ascii_lowercase().into();
    }
    if *session.origin_realm != *request.origin_realm {
        session.origin_realm = request.origin_realm.into();
    }
    session.origin_state = request.origin_state_id;
    session.identities = identities(request);
    let known = session.context.access_point.take();
    session.context = context(request, known);
    session.groups.clear();
    groups(request, session.context.service, &mut session.groups)?;
    session.call = None;
    Ok((Command::Session(session), shape))
}

/// Termination-Cause, AVP 295.
fn end_cause(cause: Option<u32>) -> EndCause {
    match cause {
        None | Some(1) => EndCause::Normal,
        Some(4) => EndCause::Administrative,
        Some(_) => EndCause::Fault,
    }
}

/// By the specification that the context names (TS 32.299 section 6.4.1). `known` is an access point that it may be.
fn context(request: &CreditControlRequest<'_>, known: Option<Box<str>>) -> Context {
    let information = &request.service_information;
    let service = match request.context_label() {
        "32251" | "32255" => Service::Data,
        "32260" | "32275" | "32276" => Service::Voice,
        "32274" | "32270" => Service::Message,
        _ if information.has_sms => Service::Message,
        _ if information.has_ims => Service::Voice,
        _ if information.access_point.is_some() => Service::Data,
        _ => Service::Content,
    };
    let direction = match information.role_of_node {
        Some(1) => Direction::Terminating,
        Some(2) => Direction::Forwarded,
        _ => Direction::Originating,
    };
    let other_party = match (service, direction) {
        (Service::Message, _) => information.recipient.or(information.called_party),
        (_, Direction::Terminating) => information.calling_party,
        _ => information.called_party.or(information.requested_party),
    };
    Context {
        service,
        direction,
        destination: other_party.and_then(number),
        serving_network: information.serving_network.and_then(|network| network.parse().ok()),
        access_point: information.access_point.map(|name| match known {
            Some(known) if *known == *name => known,
            _ => name.into(),
        }),
        is_emergency: information.is_emergency,
        routing: other_party.filter(|_| direction != Direction::Terminating).and_then(routing),
        dialled: None,
        is_unpriced: false,
        origin: information.calling_party.and_then(number),
    }
}

/// The digits of a tel or SIP URI, or of a bare number: separators away, parameters and host away.
fn number(address: &str) -> Option<Digits> {
    let rest = ["tel:", "sip:", "sips:"].iter().find_map(|scheme| address.strip_prefix(scheme));
    let user = rest.unwrap_or(address).split(['@', ';', '?']).next()?;
    let plain: String =
        user.chars().filter(|c| !matches!(c, '-' | '.' | '(' | ')' | ' ')).collect();
    plain.parse().ok()
}

/// The network that serves a ported number, where the switch has looked that up (RFC 4694).
fn routing(address: &str) -> Option<Digits> {
    let mut parameters = address.split([';', '@']).skip(1);
    let global = parameters.find_map(|one| one.strip_prefix("rn=+"));
    global.and_then(number)
}

/// In a fixed order: E.164, IMSI, SIP URI, NAI, private; the user name when nothing else is said.
fn identities(request: &CreditControlRequest<'_>) -> SmallVec<[Identity; 2]> {
    let mut known: SmallVec<[(u8, Identity); 2]> = SmallVec::new();
    for id in request.subscription_ids() {
        let (order, kind) = match id.kind {
            SubscriptionIdType::E164 => (0, IdentityKind::Msisdn),
            SubscriptionIdType::Imsi => (1, IdentityKind::Imsi),
            SubscriptionIdType::SipUri => (2, IdentityKind::SipAddress),
            SubscriptionIdType::Nai => (3, IdentityKind::Nai),
            SubscriptionIdType::Private => (4, IdentityKind::Private),
        };
        // What is no identity of its kind cannot be anybody's.
        if let Ok(identity) = Identity::parse(kind, id.data) {
            known.push((order, identity));
        }
    }
    if known.is_empty()
        && let Some(name) = request.user_name
        && let Ok(identity) = Identity::parse(IdentityKind::Nai, name)
    {
        known.push((5, identity));
    }
    known.sort_by_key(|(order, _)| *order);
    known.into_iter().map(|(_, identity)| identity).collect()
}

fn groups<'a>(
    request: &CreditControlRequest<'a>,
    service: Service,
    groups: &mut SmallVec<[GroupRequest; 1]>,
) -> Result<(), Fault<'a>> {
    for group in request.groups() {
        let group = group?;
        let key = GroupKey {
            rating_group: group.rating_group,
            service_identifier: group.service_identifier,
        };
        let mut used = SmallVec::new();
        for units in group.used() {
            used.push(used_units(units?)?);
        }
        let requested = group.requested.map(|units| counts(&units)).transpose()?;
        groups.push(GroupRequest { key, requested, used, is_final: group.is_final() });
    }
    if groups.is_empty() {
        groups.extend(top_level_group(request, service)?);
    }
    Ok(())
}

/// Clients without multiple services put the units on the command level (RFC 8506 section 5.1.1).
fn top_level_group<'a>(
    request: &CreditControlRequest<'a>,
    service: Service,
) -> Result<Option<GroupRequest>, Fault<'a>> {
    let requested = request.requested()?.map(|units| counts(&units)).transpose()?;
    let mut used = SmallVec::new();
    for units in request.used() {
        used.push(used_units(units?)?);
    }
    if requested.is_none() && used.is_empty() {
        // A call or message that names no units asks for some; a data session asks by its rating groups later.
        let asks = service != Service::Data && !request.multiple_services;
        let opens = request.request_type == RequestType::Initial;
        if !(asks && opens) {
            return Ok(None);
        }
    }
    let key = GroupKey { rating_group: None, service_identifier: request.service_identifier };
    let requested = match (request.request_type, requested) {
        (RequestType::Initial, None) => Some(UnitCounts::default()),
        (_, requested) => requested,
    };
    Ok(Some(GroupRequest { key, requested, used, is_final: false }))
}

fn used_units<'a>(used: WireUsed) -> Result<UsedUnits, Fault<'a>> {
    let tariff_change = match used.tariff_change {
        Some(Wire::Before) => TariffChange::Before,
        Some(Wire::After) => TariffChange::After,
        Some(Wire::Indeterminate) | None => TariffChange::Indeterminate,
    };
    Ok(UsedUnits { counts: counts(&used.units)?, tariff_change })
}

fn counts<'a>(units: &Units) -> Result<UnitCounts, Fault<'a>> {
    let money = units.money.map(|decimal| {
        let known = |number: u32| Currency::from_number(u16::try_from(number).ok()?);
        let currency = match decimal.currency {
            Some(number) => Some(known(number)?),
            None => None,
        };
        Some(NamedMoney { amount: Amount::from_micros(decimal.micros()?), currency })
    });
    if money == Some(None) {
        return Err(Fault {
            result: ResultCode::INVALID_AVP_VALUE,
            avp: diameter_protocol::writer::FailedAvp::Missing(diameter_protocol::code::CC_MONEY),
        });
    }
    Ok(UnitCounts {
        seconds: units.seconds.map(u64::from),
        octets: units.octets(),
        service_specific: units.service_specific,
        money: money.flatten(),
    })
}

fn event<'a>(
    request: &CreditControlRequest<'a>,
    action: RequestedAction,
    peer: PeerId,
) -> Result<EventRequest, Fault<'a>> {
    let context = context(request, None);
    let mut groups = request.groups();
    let group = groups.next().transpose()?;
    if groups.next().is_some() {
        // One event is one debit (RFC 8506 section 6.3): what would the answer be of two?
        return Err(Fault {
            result: ResultCode::AVP_OCCURS_TOO_MANY_TIMES,
            avp: diameter_protocol::writer::FailedAvp::Missing(
                diameter_protocol::code::MULTIPLE_SERVICES_CREDIT_CONTROL,
            ),
        });
    }
    let key = match &group {
        Some(group) => GroupKey {
            rating_group: group.rating_group,
            service_identifier: group.service_identifier,
        },
        None => GroupKey { rating_group: None, service_identifier: request.service_identifier },
    };
    let requested = match &group {
        Some(group) => group.requested,
        None => request.requested()?,
    };
    let mut units = requested.map(|units| counts(&units)).transpose()?.unwrap_or_default();
    if units.is_empty() && context.service == Service::Message {
        units.service_specific = request.service_information.messages_sent.map(u64::from);
    }
    let of_group = group.as_ref().and_then(|group| group.refund_information);
    let debit = of_group
        .or(request.refund_information)
        .filter(|_| action == RequestedAction::RefundAccount)
        .map(named_debit)
        .transpose()?;
    Ok(EventRequest {
        action: match action {
            RequestedAction::DirectDebiting => EventAction::Debit,
            RequestedAction::RefundAccount => EventAction::Refund,
            RequestedAction::CheckBalance => EventAction::CheckBalance,
            RequestedAction::PriceEnquiry => EventAction::PriceEnquiry,
        },
        key: request.session_id.into(),
        number: request.number,
        peer,
        identities: identities(request),
        context,
        group: key,
        units,
        debit,
    })
}

/// What the answer to the debit said. The books are asked for it later.
fn named_debit<'a>(information: &[u8]) -> Result<NamedDebit, Fault<'a>> {
    let bits = <[u8; 8]>::try_from(information).map_err(|_| Fault {
        result: ResultCode::INVALID_AVP_VALUE,
        avp: diameter_protocol::writer::FailedAvp::Missing(
            diameter_protocol::code::REFUND_INFORMATION,
        ),
    })?;
    let session = SessionId::from_bits(u64::from_be_bytes(bits));
    Ok(NamedDebit { session, record: None, read_at: Timestamp::ZERO })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_in_uris_and_bare_strings() {
        for (given, digits) in [
            ("tel:+49-30-901820", Some("4930901820")),
            ("sip:+4930901820@ims.example;user=phone", Some("4930901820")),
            ("0049(30)901820", Some("004930901820")),
            ("sip:alice@ims.example", None),
            ("", None),
        ] {
            assert_eq!(number(given), digits.map(|text| text.parse().expect("digits")), "{given}");
        }
    }
}
