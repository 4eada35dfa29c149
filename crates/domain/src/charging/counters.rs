//! Cumulative use and money, by which tiers and caps of a period price: a subscriber's, a VNO's, or a carrier's.

use super::draft::{CounterOwner, Draft};
use super::funds::Charging;
use super::rates::Priced;
use crate::money::Amount;
use crate::period::{calendar_day, calendar_month};
use crate::subscriber::{Counted, Counter, CounterKey, counted};
use crate::time::Timestamp;

/// Where on its price scale the next unit stands: within the session, or on a monthly counter.
pub(super) fn position(
    charging: &Charging<'_>,
    draft: &Draft,
    priced: &Priced<'_>,
    owner: CounterOwner,
    in_session: u64,
) -> u64 {
    let Some((key, month)) = counter(charging, priced) else {
        return in_session;
    };
    total(charging, draft, owner, key, month)
}

/// The monthly counter of a rate that has tiers.
pub(super) fn counter(charging: &Charging<'_>, priced: &Priced<'_>) -> Option<(CounterKey, u32)> {
    let counter = priced.rate.counter()?;
    let key = CounterKey { list: priced.reference.list, counter, of: Counted::Month };
    Some((key, calendar_month(charging.now, priced.prices.time_zone())))
}

/// What the caps of the day and month leave the owner to pay; None: there is no cap.
pub(super) fn room(
    charging: &Charging<'_>,
    draft: &Draft,
    priced: &Priced<'_>,
    owner: CounterOwner,
) -> Option<Amount> {
    let rooms = caps(charging, priced)?.map(|(key, period, most)| {
        let charged = total(charging, draft, owner, key, period);
        most.saturating_sub(Amount::from_micros(i64::try_from(charged).unwrap_or(i64::MAX)))
    });
    rooms.min().map(|room| priced.prices.whole_steps(room))
}

/// Counts what the owner was charged towards the caps of the day and month.
pub(super) fn note_charged(
    charging: &Charging<'_>,
    draft: &mut Draft,
    priced: &Priced<'_>,
    owner: CounterOwner,
    listed: Amount,
) {
    let micros = u64::try_from(listed.micros()).unwrap_or(0);
    if micros == 0 {
        return;
    }
    for (key, period, _) in caps(charging, priced).into_iter().flatten() {
        draft.count(owner, key, period, micros);
    }
}

/// Each cap of a rate: its counter, the day or month in which it counts, and the most that is charged in it. What was
/// granted before yesterday counts as if it were of yesterday: no older day is known.
fn caps(
    charging: &Charging<'_>,
    priced: &Priced<'_>,
) -> Option<impl Iterator<Item = (CounterKey, u32, Amount)>> {
    // Nearly every rate has none.
    let cap = priced.rate.period_cap()?;
    let (granted_at, now, zone) = (charging.granted_at, charging.now, priced.prices.time_zone());
    let list = priced.reference.list;
    let key = |of| CounterKey { list, counter: cap.counter, of };
    let period =
        |of: fn(Timestamp, &str) -> u32| of(granted_at, zone).max(of(now, zone).saturating_sub(1));
    let day = |most| (key(Counted::CappedDay), period(calendar_day), most);
    let month = |most| (key(Counted::CappedMonth), period(calendar_month), most);
    Some([cap.per_day.map(day), cap.per_month.map(month)].into_iter().flatten())
}

fn total(
    charging: &Charging<'_>,
    draft: &Draft,
    owner: CounterOwner,
    key: CounterKey,
    period: u32,
) -> u64 {
    let counters: &[Counter] = match owner {
        CounterOwner::Subscriber(id) => {
            let subscriber = charging.state.subscriber(id);
            subscriber.and_then(|s| s.counters.as_deref()).map_or(&[], Vec::as_slice)
        }
        CounterOwner::Vno(id) => charging.state.tally(id).map_or(&[], |tally| &tally.counters),
        CounterOwner::Carrier(id) => charging.state.carrier_counters(id),
    };
    counted(counters, key, period).saturating_add(draft.counted(owner, key, period))
}
