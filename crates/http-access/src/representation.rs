//! Values as JSON shows them: money with its currency, times in RFC 3339, identities with their type.

use serde::{Deserialize, Serialize};
use tandem_domain::catalogue::Scope;
use tandem_domain::digits::Digits;
use tandem_domain::identifier::{Identity, IdentityKind};
use tandem_domain::money::{Amount, Currency, Money};
use tandem_domain::party::{Slug, Standing};
use tandem_domain::period::WeeklyWindow;
use tandem_domain::service::{Direction, Service};
use tandem_domain::time::Timestamp;
use tandem_http_api::Problem;
use utoipa::ToSchema;

/// Money: a decimal amount in major units with at most six digits after the point.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"amount": "1.50", "currency": "EUR"}))]
pub struct MoneyBody {
    pub amount: String,
    /// ISO 4217.
    pub currency: String,
}

impl MoneyBody {
    pub fn of(money: Money) -> MoneyBody {
        MoneyBody { amount: money.amount.to_string(), currency: money.currency.to_string() }
    }

    pub fn from_amount(amount: Amount, currency: Currency) -> MoneyBody {
        MoneyBody::of(Money::new(amount, currency))
    }

    pub fn to_domain(&self) -> Result<Money, Problem> {
        Ok(Money::new(parse("amount", &self.amount)?, parse("currency", &self.currency)?))
    }
}

/// A service identity of a line.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"type": "msisdn", "value": "+4915112345678"}))]
pub struct IdentityBody {
    /// msisdn, imsi, iccid, sip, nai, mac, ip or private.
    #[serde(rename = "type")]
    pub kind: String,
    pub value: String,
}

impl IdentityBody {
    pub fn of(identity: &Identity) -> IdentityBody {
        IdentityBody { kind: identity.kind().name().into(), value: identity.value() }
    }

    pub fn to_domain(&self) -> Result<Identity, Problem> {
        let kind = IdentityKind::ALL.into_iter().find(|kind| kind.name() == self.kind);
        let kind = kind.ok_or_else(|| {
            Problem::invalid(format!("type: unknown identity type {}", self.kind))
        })?;
        Identity::parse(kind, &self.value).map_err(|error| Problem::invalid(error.to_string()))
    }
}

/// Which use something is about. What is left out matches everything.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ScopeBody {
    /// voice, data, message, content.
    pub services: Vec<String>,
    /// originating, terminating, forwarded.
    pub directions: Vec<String>,
    /// Prefixes of the other party's number.
    pub destinations: Vec<String>,
    pub rating_groups: Vec<u32>,
    pub service_identifiers: Vec<u32>,
    /// MCC, or MCC and MNC, of the serving network.
    pub serving_networks: Vec<String>,
    pub window: Option<WindowBody>,
}

/// Hours of the week in the VNO's time zone.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WindowBody {
    /// monday to sunday.
    pub days: Vec<String>,
    /// HH:MM
    pub from: String,
    /// HH:MM; not after `from` means on the next day.
    pub to: String,
}

pub const DAYS: [&str; 7] =
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

impl WindowBody {
    pub fn of(window: &WeeklyWindow) -> WindowBody {
        let time = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        let days = DAYS.iter().enumerate().filter(|(index, _)| window.days & (1 << index) != 0);
        WindowBody {
            days: days.map(|(_, name)| (*name).to_owned()).collect(),
            from: time(window.from_minute),
            to: time(window.to_minute),
        }
    }

    pub fn to_domain(&self) -> Result<WeeklyWindow, Problem> {
        let mut days = 0u8;
        for day in &self.days {
            let index = DAYS.iter().position(|name| name == day);
            days |=
                1 << index.ok_or_else(|| Problem::invalid(format!("days: unknown day {day}")))?;
        }
        Ok(WeeklyWindow { days, from_minute: minute(&self.from)?, to_minute: minute(&self.to)? })
    }
}

fn minute(text: &str) -> Result<u16, Problem> {
    let parsed = text.split_once(':').and_then(|(hour, minute)| {
        let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
        let total = hour.checked_mul(60)?.checked_add(minute)?;
        (minute < 60 && total <= 1440).then_some(total)
    });
    parsed.ok_or_else(|| Problem::invalid("window: expected times as HH:MM, up to 24:00"))
}

impl ScopeBody {
    pub fn to_domain(&self) -> Result<Scope, Problem> {
        let services = self.services.iter().map(|text| parse::<Service>("services", text));
        let directions = self.directions.iter().map(|text| parse::<Direction>("directions", text));
        let prefixes = self.destinations.iter().map(|text| parse::<Digits>("destinations", text));
        let networks =
            self.serving_networks.iter().map(|text| parse::<Digits>("serving_networks", text));
        Ok(Scope {
            services: services.collect::<Result<_, _>>()?,
            directions: directions.collect::<Result<_, _>>()?,
            destinations: prefixes.collect::<Result<_, _>>()?,
            rating_groups: self.rating_groups.clone(),
            serving_networks: networks.collect::<Result<_, _>>()?,
            window: self.window.as_ref().map(WindowBody::to_domain).transpose()?,
            service_identifiers: self.service_identifiers.clone(),
        })
    }
}

/// Parses text, naming the field when it is wrong.
pub fn parse<T>(field: &str, text: &str) -> Result<T, Problem>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error| Problem::invalid(format!("{field}: {error}")))
}

pub fn slug(text: &str) -> Result<Slug, Problem> {
    parse("id", text)
}

pub fn standing(text: &str) -> Result<Standing, Problem> {
    let all = [Standing::Active, Standing::Suspended, Standing::Closed];
    let found = all.into_iter().find(|standing| standing.name() == text);
    found.ok_or_else(|| Problem::invalid("standing: expected active, suspended or closed"))
}

pub fn time(text: &str) -> Result<Timestamp, Problem> {
    parse("time", text)
}
