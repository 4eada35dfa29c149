//! What a caller hears when the answer is no (RFC 3398, RFC 3326).

use tandem_domain::charging::Declined;

/// A final answer with its ISUP cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    pub cause: u8,
    pub text: &'static str,
}

const fn refusal(status: u16, cause: u8, text: &'static str) -> Refusal {
    Refusal { status, cause, text }
}

pub const NO_ROUTE: Refusal = refusal(503, 34, "no route");
pub const OVERLOADED: Refusal = refusal(503, 42, "overloaded");
pub const TOO_MANY_CALLS: Refusal = refusal(503, 34, "the trunk is full");
pub const UNREACHABLE: Refusal = refusal(480, 20, "no phone is registered");
pub const NO_ANSWER: Refusal = refusal(480, 19, "no answer");
pub const LOOP: Refusal = refusal(482, 25, "loop");
pub const NOT_A_NUMBER: Refusal = refusal(404, 28, "no number that can be called");
pub const RINGS_TOO_LONG: Refusal = refusal(480, 19, "rang too long");
pub const CANCELLED: Refusal = refusal(487, 16, "cancelled");
pub const BY_THE_VNO: Refusal = refusal(403, 21, "refused by the operator");

/// In words of the charging core, mapped one by one.
pub fn of(declined: Declined) -> Refusal {
    match declined {
        Declined::UnknownUser | Declined::ConflictingIdentities => {
            refusal(404, 1, "no such subscriber")
        }
        Declined::SubscriberSuspended | Declined::LineSuspended | Declined::VnoSuspended => {
            refusal(403, 21, "suspended")
        }
        Declined::Barred | Declined::DestinationBarred | Declined::TimeLimit => {
            refusal(403, 21, "barred")
        }
        Declined::DestinationBlocked => refusal(403, 21, "destination blocked"),
        Declined::VnoCreditExhausted => refusal(403, 21, "the operator has no credit"),
        Declined::CarrierNotAllowed | Declined::NoPayer => refusal(403, 57, "not entitled"),
        Declined::InsufficientBalance => refusal(402, 21, "no credit"),
        Declined::NoRetailRate
        | Declined::NoWholesaleRate
        | Declined::NoCostRate
        | Declined::NoExchangeRate
        | Declined::UnitMismatch
        | Declined::CurrencyMismatch => refusal(404, 3, "no price for this destination"),
        Declined::TooManyCalls => refusal(486, 17, "too many calls"),
        Declined::UnknownDebit => refusal(400, 41, "no such debit"),
        Declined::CapacityReached => refusal(503, 34, "no channel free"),
        Declined::Loop => LOOP,
        Declined::NoRoute | Declined::MarginTooLow => NO_ROUTE,
        Declined::UnknownSession | Declined::StaleRequest | Declined::SessionEnding => {
            refusal(503, 41, "the call cannot be charged")
        }
        Declined::AmountOutOfRange | Declined::TooManyGroups => refusal(500, 41, "internal"),
    }
}
