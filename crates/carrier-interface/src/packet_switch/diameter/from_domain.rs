//! From the platform's answers to Credit-Control-Answers.

use diameter_protocol::ResultCode;
use diameter_protocol::credit_control::{
    AnswerGroup, CreditControlAnswer, DecimalMoney, FinalUnit, GroupResult, RequestType,
    RequestedAction, Units,
};
use tandem_domain::charging::{
    Declined, EventAnswer, Granted, GroupAnswer, GroupOutcome, SessionAnswer,
};
use tandem_domain::money::{Amount, Currency, Money};
use tandem_domain::party::{FailureHandling, FinalUnitAction};
use tandem_domain::quantity::Unit;

use super::to_domain::Shape;

/// The result of every refusal (RFC 8506 section 9, RFC 6733 section 7.1).
pub fn result_code(declined: Declined) -> ResultCode {
    match declined {
        Declined::UnknownUser | Declined::ConflictingIdentities => ResultCode::USER_UNKNOWN,
        Declined::SubscriberSuspended
        | Declined::LineSuspended
        | Declined::Barred
        | Declined::VnoSuspended
        | Declined::DestinationBlocked
        | Declined::DestinationBarred
        | Declined::SessionEnding
        | Declined::TimeLimit
        | Declined::Loop => ResultCode::END_USER_SERVICE_DENIED,
        Declined::VnoCreditExhausted | Declined::InsufficientBalance => {
            ResultCode::CREDIT_LIMIT_REACHED
        }
        Declined::CarrierNotAllowed | Declined::NoPayer => ResultCode::AUTHORIZATION_REJECTED,
        Declined::NoRetailRate
        | Declined::NoWholesaleRate
        | Declined::NoCostRate
        | Declined::UnitMismatch
        | Declined::MarginTooLow
        | Declined::NoExchangeRate
        | Declined::CurrencyMismatch => ResultCode::RATING_FAILED,
        Declined::UnknownSession => ResultCode::UNKNOWN_SESSION_ID,
        Declined::StaleRequest => ResultCode::UNABLE_TO_COMPLY,
        Declined::AmountOutOfRange | Declined::UnknownDebit => ResultCode::INVALID_AVP_VALUE,
        Declined::TooManyGroups | Declined::TooManyCalls | Declined::CapacityReached => {
            ResultCode::RESOURCES_EXCEEDED
        }
        Declined::NoRoute => ResultCode::UNABLE_TO_COMPLY,
    }
}

fn base(shape: Shape) -> CreditControlAnswer<'static> {
    CreditControlAnswer {
        request_type: match shape.request_type {
            RequestType::Initial => 1,
            RequestType::Update => 2,
            RequestType::Termination => 3,
            RequestType::Event => 4,
        },
        number: shape.number,
        ..CreditControlAnswer::default()
    }
}

pub(super) fn refusal(shape: Shape) -> CreditControlAnswer<'static> {
    base(shape)
}

pub(super) fn session(
    shape: Shape,
    answer: &SessionAnswer,
) -> (ResultCode, CreditControlAnswer<'_>) {
    let mut wire = base(shape);
    if shape.request_type == RequestType::Initial {
        wire.session_failover = Some(1);
        wire.failure_handling = answer.failure_handling.map(|handling| match handling {
            FailureHandling::Terminate => 0,
            FailureHandling::Continue => 1,
            FailureHandling::RetryAndTerminate => 2,
        });
    }
    if shape.in_groups {
        wire.groups = answer.groups.iter().map(group).collect();
        return (ResultCode::SUCCESS, wire);
    }
    // Units on the command level: the only group's outcome is the request's.
    let Some(only) = answer.groups.first() else {
        return (ResultCode::SUCCESS, wire);
    };
    let only = group(only);
    wire.granted = only.granted;
    wire.tariff_time_change = only.tariff_time_change;
    wire.validity_seconds = only.validity_seconds;
    wire.final_unit = only.final_unit;
    (only.result.0, wire)
}

fn group(answer: &GroupAnswer) -> AnswerGroup<'_> {
    let mut group = AnswerGroup {
        rating_group: answer.key.rating_group,
        service_identifier: answer.key.service_identifier,
        result: GroupResult(ResultCode::SUCCESS),
        granted: None,
        tariff_time_change: None,
        validity_seconds: None,
        time_threshold: None,
        volume_threshold: None,
        unit_threshold: None,
        holding_seconds: None,
        final_unit: None,
        refund_information: None,
    };
    match &answer.outcome {
        GroupOutcome::Granted(granted) => grant(&mut group, granted),
        GroupOutcome::Noted => {}
        GroupOutcome::Free => group.result = GroupResult(ResultCode::CREDIT_CONTROL_NOT_APPLICABLE),
        GroupOutcome::Declined(declined) => group.result = GroupResult(result_code(*declined)),
    }
    group
}

fn grant<'a>(group: &mut AnswerGroup<'a>, granted: &'a Granted) {
    group.validity_seconds = Some(granted.validity_seconds);
    group.final_unit = granted.final_unit.as_ref().map(|last| match &last.0 {
        FinalUnitAction::Terminate => FinalUnit::Terminate,
        FinalUnitAction::Redirect(address) => FinalUnit::Redirect(address),
        FinalUnitAction::Restrict(rule) => FinalUnit::Restrict(rule),
    });
    if granted.amount == 0 {
        return;
    }
    group.granted = Some(units(granted.unit, granted.amount, granted.currency));
    group.tariff_time_change = granted.tariff_change.map(|at| at.seconds());
    group.holding_seconds = (granted.holding_seconds > 0).then_some(granted.holding_seconds);
    // The thresholds are 32 bits wide, whatever the grant.
    let threshold = u32::try_from(granted.threshold).unwrap_or(u32::MAX);
    if threshold > 0 {
        match granted.unit {
            Unit::Seconds => group.time_threshold = Some(threshold),
            Unit::Octets => group.volume_threshold = Some(threshold),
            Unit::Messages | Unit::Events | Unit::Money => group.unit_threshold = Some(threshold),
        }
    }
}

fn units(unit: Unit, amount: u64, currency: Option<Currency>) -> Units {
    match unit {
        Unit::Seconds => {
            Units { seconds: Some(u32::try_from(amount).unwrap_or(u32::MAX)), ..Units::default() }
        }
        Unit::Octets => Units { total_octets: Some(amount), ..Units::default() },
        Unit::Messages | Unit::Events => {
            Units { service_specific: Some(amount), ..Units::default() }
        }
        // Only to who asks in money: Ro and Gy never do (TS 32.299 section 6.4.3).
        Unit::Money => {
            let amount = Amount::from_micros(i64::try_from(amount).unwrap_or(i64::MAX));
            let money = currency.map(|currency| decimal(Money::new(amount, currency)));
            Units { money, ..Units::default() }
        }
    }
}

pub(super) fn event(
    shape: Shape,
    answer: &EventAnswer,
) -> (ResultCode, CreditControlAnswer<'static>) {
    let mut wire = base(shape);
    if answer.is_free {
        return (ResultCode::CREDIT_CONTROL_NOT_APPLICABLE, wire);
    }
    wire.cost = answer.cost.map(decimal);
    wire.check_balance = answer.has_credit;
    if shape.action == Some(RequestedAction::DirectDebiting) {
        // TERMINATE_OR_BUFFER or CONTINUE (RFC 8506 section 8.15): what the VNO says of sessions goes for events.
        let goes_on = answer.failure_handling == Some(FailureHandling::Continue);
        wire.direct_debiting_failure_handling = Some(u32::from(goes_on));
        let currency = answer.cost.map(|cost| cost.currency);
        let granted = units(answer.unit, answer.granted, currency);
        let refund_information = answer
            .debit
            .filter(|_| shape.is_of_3gpp)
            .map(|session| session.to_bits().to_be_bytes());
        if shape.in_groups {
            wire.groups.push(AnswerGroup {
                rating_group: shape.group.rating_group,
                service_identifier: shape.group.service_identifier,
                result: GroupResult(ResultCode::SUCCESS),
                granted: (granted != Units::default()).then_some(granted),
                tariff_time_change: None,
                validity_seconds: None,
                time_threshold: None,
                volume_threshold: None,
                unit_threshold: None,
                holding_seconds: None,
                final_unit: None,
                refund_information,
            });
        } else {
            wire.granted = Some(granted);
            wire.refund_information = refund_information;
        }
    }
    (ResultCode::SUCCESS, wire)
}

fn decimal(money: Money) -> DecimalMoney {
    DecimalMoney::from_micros(money.amount.micros(), u32::from(money.currency.number()))
}
