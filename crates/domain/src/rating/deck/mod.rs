//! Rate decks as comma-separated text (RFC 4180), the form in which carriers and VNOs exchange prices.
//!
//! The first record names the columns, in any order; [`read`] knows those of [`Column`] and refuses others, because a
//! column that is skipped may change a price. Only `price` is required, and left-out columns mean what
//! an empty cell means. Rows that match the same use and differ in `band` or `from` are steps of one rate.
//! The separator is a comma, or a semicolon when the header has one; decimals have a point.
//!
//! It does not read spreadsheets, guess columns, or convert currencies and units.

mod problem;
mod read;
mod record;
mod write;

pub use problem::{DeckProblem, DeckProblems};
pub use read::read;
pub use write::write;

/// What a cell says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// `voice` (when empty), `data`, `message`, `content`.
    Service,
    /// `originating`, `terminating`, `forwarded`; empty: any.
    Direction,
    /// Decimal digits, a leading `+` allowed; empty: any destination.
    Prefix,
    /// The name of the destination or zone.
    Destination,
    RatingGroup,
    ServiceIdentifier,
    /// MCC, or MCC and MNC; empty: any.
    ServingNetwork,
    /// How the caller's number begins; empty: any.
    Origin,
    /// Name of a time band; empty: standard.
    Band,
    /// Units after which the price of this row holds; empty: 0.
    From,
    /// Decimal major units per `per`. Empty only for rows that are not charged.
    Price,
    /// A number of units, or with one of the suffixes s, min, h, kB, MB, GB, KiB, MiB, GiB. Empty: 60 for
    /// seconds, 1 MiB for octets, else 1.
    Per,
    /// `seconds`, `octets`, `messages`, `events`; empty: that of the service.
    Unit,
    /// `first/next` in units, such as `60/1`; empty: `1/1`.
    Increment,
    /// The first half of `increment`.
    IncrementFirst,
    /// The second half of `increment`.
    IncrementNext,
    SetupFee,
    MinimumCharge,
    MinimumUnits,
    /// Units that are free when no more are used.
    Grace,
    /// The most that a leg costs; empty: no cap.
    Cap,
    /// The most that everything with the same `cap_counter` costs who pays it in a calendar day.
    CapPerDay,
    /// The same of a calendar month.
    CapPerMonth,
    /// A number for the two caps above: what has the same one shares them.
    CapCounter,
    /// `charged` (when empty), `free`, `blocked`.
    Treatment,
    /// `session` (when empty), `graduated`, `all-units`.
    Progression,
    /// Number of the monthly counter of a graduated or all-units rate.
    Counter,
}

impl Column {
    pub const ALL: [Column; 27] = [
        Column::Service,
        Column::Direction,
        Column::Prefix,
        Column::Destination,
        Column::RatingGroup,
        Column::ServiceIdentifier,
        Column::ServingNetwork,
        Column::Origin,
        Column::Band,
        Column::From,
        Column::Price,
        Column::Per,
        Column::Unit,
        Column::Increment,
        Column::IncrementFirst,
        Column::IncrementNext,
        Column::SetupFee,
        Column::MinimumCharge,
        Column::MinimumUnits,
        Column::Grace,
        Column::Cap,
        Column::CapPerDay,
        Column::CapPerMonth,
        Column::CapCounter,
        Column::Treatment,
        Column::Progression,
        Column::Counter,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Column::Service => "service",
            Column::Direction => "direction",
            Column::Prefix => "prefix",
            Column::Destination => "destination",
            Column::RatingGroup => "rating_group",
            Column::ServiceIdentifier => "service_identifier",
            Column::ServingNetwork => "serving_network",
            Column::Origin => "origin",
            Column::Band => "band",
            Column::From => "from",
            Column::Price => "price",
            Column::Per => "per",
            Column::Unit => "unit",
            Column::Increment => "increment",
            Column::IncrementFirst => "increment_first",
            Column::IncrementNext => "increment_next",
            Column::SetupFee => "setup_fee",
            Column::MinimumCharge => "minimum_charge",
            Column::MinimumUnits => "minimum_units",
            Column::Grace => "grace",
            Column::Cap => "cap",
            Column::CapPerDay => "cap_per_day",
            Column::CapPerMonth => "cap_per_month",
            Column::CapCounter => "cap_counter",
            Column::Treatment => "treatment",
            Column::Progression => "progression",
            Column::Counter => "counter",
        }
    }
}
