//! The charging machine: authorise, reserve, debit, release, for calls, data sessions, messages and purchases alike.
//!
//! `charge = f(total used so far) − already charged`, so slicing never changes a price.
//! Verbs: open, report, close; debit once, refund, check balance, price (RFC 8506 sections 5 and 6).

mod calls;
mod carriers;
mod counters;
mod draft;
mod emergency;
mod ending;
mod funds;
mod grant;
mod group;
mod hold;
mod late;
mod named;
mod one_time;
mod pushes;
mod rates;
mod refund;
mod request;
mod session;
mod sessions;
mod settle;
mod wholesale;
mod work;

pub use calls::{CallParty, CallPlan, CallRequest, CallTarget};
pub use carriers::Reroute;
pub use group::{
    Draw, Group, GroupKey, Hold, Leg, Meter, PayerLeg, Phase, RateReference, Wholesale,
};
pub use late::LostSession;
pub use refund::{NamedDebit, RecentRefunds};
pub use request::{
    CallPart, Declined, EventAction, EventAnswer, EventRequest, FinalUnit, Granted, GroupAnswer,
    GroupOutcome, GroupRequest, NamedMoney, SessionAnswer, SessionRequest, SessionVerb,
    TariffChange, UnitCounts, UsedUnits,
};
pub use session::{Context, EndCause, Session};

pub(crate) use calls::decide_call;
pub(crate) use carriers::decide_reroute;
pub(crate) use draft::Draft;
pub use draft::{BucketChange, CounterChange, CounterOwner};
pub(crate) use ending::{Supervision, decide_supervision, end_session, new_sweep, reopen_gate};
pub(crate) use funds::{Charging, Payer};
pub(crate) use one_time::decide_event;
pub(crate) use pushes::{abort, decide_peer_state, directive, limit_calls, reauthorise};
pub(crate) use sessions::{admit_line, charging, decide_session};
