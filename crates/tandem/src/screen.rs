//! The demo's one screen: what happens, how fast, and who earns what.

use std::fmt::Write;
use std::time::Duration;

use tandem_domain::identifier::{CarrierId, ContentProviderId, VnoId};
use tandem_domain::ledger::LedgerAccount;
use tandem_domain::money::{Amount, Currency};
use tandem_domain::state::State;
use tandem_platform::MetricsSnapshot;

use crate::world::{CARRIERS, VNOS};

/// Money of every party at one moment.
#[derive(Clone, Debug, Default)]
pub struct Earnings {
    pub vnos: Vec<VnoEarnings>,
    pub broker_revenue: Amount,
    pub broker_cost: Amount,
    pub carriers: Vec<Amount>,
    pub content: Amount,
    pub sessions: usize,
    pub subscribers: usize,
}

#[derive(Clone, Debug, Default)]
pub struct VnoEarnings {
    pub revenue: Amount,
    pub wholesale: Amount,
}

pub fn earnings(state: &State) -> Earnings {
    let of = |account| state.ledger.balance(account, Currency::EUR);
    let vno = |index: usize| {
        let id = VnoId::new(index as u16);
        VnoEarnings {
            revenue: of(LedgerAccount::VnoRevenue(id)),
            wholesale: of(LedgerAccount::BrokerRevenue(id)),
        }
    };
    let vnos: Vec<VnoEarnings> = (0..VNOS.len()).map(vno).collect();
    let total = |account: fn(VnoId) -> LedgerAccount| {
        (0..VNOS.len()).fold(Amount::ZERO, |sum, index| {
            sum.saturating_add(of(account(VnoId::new(index as u16))))
        })
    };
    Earnings {
        broker_revenue: total(LedgerAccount::BrokerRevenue),
        broker_cost: total(LedgerAccount::CostOfService)
            .saturating_add(total(LedgerAccount::ContentShare))
            .negated(),
        carriers: (0..CARRIERS.len())
            .map(|index| of(LedgerAccount::CarrierPayable(CarrierId::new(index as u16))))
            .collect(),
        content: of(LedgerAccount::ContentProviderPayable(ContentProviderId::new(0))),
        sessions: state.sessions.len(),
        subscribers: state.subscribers.len(),
        vnos,
    }
}

/// The screen as text.
pub fn draw(
    earnings: &Earnings,
    before: &MetricsSnapshot,
    now: &MetricsSnapshot,
    interval: Duration,
    elapsed: Duration,
) -> String {
    let mut text = String::new();
    let millis = interval.as_millis().max(1) as u64;
    let rate = (now.answered - before.answered) * 1000 / millis;
    let latency = now.latency.since(&before.latency);
    let shown = |duration: Duration| {
        format!("{}.{:02} ms", duration.as_micros() / 1000, duration.as_micros() % 1000 / 10)
    };
    let _ = writeln!(
        text,
        "Tandem demo                                            {:>4} s",
        elapsed.as_secs()
    );
    let _ = writeln!(text);
    let _ = writeln!(
        text,
        "  subscribers {:>10}      open sessions {:>8}",
        earnings.subscribers, earnings.sessions
    );
    let _ = writeln!(
        text,
        "  operations/s {:>9}      answered in   p50 {}, p99 {}",
        rate,
        shown(latency.quantile(500)),
        shown(latency.quantile(990))
    );
    let _ = writeln!(
        text,
        "  journal record {:>7}      books behind  {:>8} records",
        now.sequence,
        now.sequence.saturating_sub(now.books_sequence)
    );
    let _ = writeln!(text);
    text.push_str(&table(earnings));
    let _ = writeln!(text);
    let refused: Vec<String> =
        now.declined.iter().map(|(reason, count)| format!("{} {count}", reason.name())).collect();
    let _ = writeln!(
        text,
        "  refused: {}",
        if refused.is_empty() { "nobody".into() } else { refused.join(", ") }
    );
    text
}

/// Who earned what, in EUR.
pub fn table(earnings: &Earnings) -> String {
    let cents = |amount: Amount| {
        let cents = amount.micros() / 10_000;
        format!(
            "{}{}.{:02}",
            if cents < 0 { "-" } else { "" },
            cents.abs() / 100,
            cents.abs() % 100
        )
    };
    let mut text = String::new();
    let _ = writeln!(
        text,
        "  {:<26}{:>12}{:>12}{:>12}   (EUR, without tax)",
        "party", "revenue", "cost", "margin"
    );
    let mut row = |name: &str, revenue: Amount, cost: Amount| {
        let margin = cents(revenue.saturating_sub(cost));
        let _ = writeln!(text, "  {name:<26}{:>12}{:>12}{margin:>12}", cents(revenue), cents(cost));
    };
    for (vno, (_, name)) in earnings.vnos.iter().zip(VNOS) {
        row(&format!("VNO {name}"), vno.revenue, vno.wholesale);
    }
    row("Broker", earnings.broker_revenue, earnings.broker_cost);
    for (earned, (_, name, kind, _)) in earnings.carriers.iter().zip(CARRIERS) {
        row(&format!("{name} ({})", kind.name()), *earned, Amount::ZERO);
    }
    row("Playhouse (content)", earnings.content, Amount::ZERO);
    text
}
