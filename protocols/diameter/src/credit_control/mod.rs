//! Credit control (RFC 8506) as 3GPP uses it on Ro and Gy (TS 32.299): requests read in one pass, answers written.

mod answer;
mod client;
mod push;
mod request;
mod service_information;
mod units;

pub use answer::{AnswerGroup, CreditControlAnswer, FinalUnit, GroupResult, write_answer};
pub use client::{CreditControlResult, GroupAnswered, RequestGroup, RequestHead, write_request};
pub use push::{PushHead, write_abort_session, write_push_answer, write_re_auth};
pub use request::{
    CreditControlRequest, Fault, GroupsOf, RequestType, RequestedAction, SubscriptionId,
    SubscriptionIdType, UsedUnits,
};
pub use service_information::ServiceInformation;
pub use units::{DecimalMoney, TariffChange, Units};
