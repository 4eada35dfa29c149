//! A VNO's customer with all that charging needs: lines, accounts with buckets, subscriptions.
//!
//! One value, because it is loaded, changed and stored together. Names and addresses are not here:
//! charging never needs them, the books keep them.
//! Ten million of these stand in memory, so the common case (one line, one account) is one allocation
//! and the buckets another.

use minicbor::{Decode, Encode};
use smallvec::SmallVec;

use crate::calls::LineCalls;
use crate::content::LineContent;
use crate::encoding;
use crate::identifier::{
    AccountId, BucketId, Identity, LineId, OfferId, ScopeId, SubscriberId, SubscriptionId,
};
use crate::money::{Amount, Currency};
use crate::party::Standing;
use crate::quantity::Unit;
use crate::service::Service;
use crate::time::Timestamp;

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Subscriber {
    #[n(0)]
    pub id: SubscriberId,
    #[n(1)]
    pub standing: Standing,
    #[n(2)]
    #[cbor(with = "encoding")]
    pub lines: SmallVec<[Line; 1]>,
    #[n(3)]
    #[cbor(with = "encoding")]
    pub accounts: SmallVec<[Account; 1]>,
    #[n(4)]
    #[cbor(with = "encoding")]
    pub subscriptions: SmallVec<[Subscription; 1]>,
    /// Cumulative use that tiered retail prices look at.
    #[n(5)]
    pub counters: Option<Box<Vec<Counter>>>,
}

impl Subscriber {
    pub fn new(id: SubscriberId) -> Subscriber {
        Subscriber {
            id,
            standing: Standing::Active,
            lines: SmallVec::new(),
            accounts: SmallVec::new(),
            subscriptions: SmallVec::new(),
            counters: None,
        }
    }

    pub fn line(&self, id: LineId) -> Option<&Line> {
        self.lines.iter().find(|line| line.number == id.number())
    }

    /// Lines that are in service or could be again.
    pub fn open_lines(&self) -> u64 {
        let open = |line: &&Line| line.standing != Standing::Closed;
        let lines = self.lines.iter().filter(open).count() as u64;
        if self.standing == Standing::Closed { 0 } else { lines }
    }

    pub fn line_mut(&mut self, id: LineId) -> Option<&mut Line> {
        self.lines.iter_mut().find(|line| line.number == id.number())
    }

    pub fn account(&self, id: AccountId) -> Option<&Account> {
        self.accounts.iter().find(|account| account.number == id.number())
    }

    pub fn account_mut(&mut self, id: AccountId) -> Option<&mut Account> {
        self.accounts.iter_mut().find(|account| account.number == id.number())
    }

    pub fn subscription(&self, id: SubscriptionId) -> Option<&Subscription> {
        self.subscriptions.iter().find(|subscription| subscription.number == id.number())
    }

    pub fn subscription_mut(&mut self, id: SubscriptionId) -> Option<&mut Subscription> {
        self.subscriptions.iter_mut().find(|subscription| subscription.number == id.number())
    }

    /// When something of this subscriber's next falls due: a renewal, of content too, or a bucket's expiry.
    pub fn next_due(&self) -> Option<Timestamp> {
        let renewals = self
            .subscriptions
            .iter()
            .filter(|subscription| subscription.state.is_live())
            .filter_map(|subscription| subscription.renews_at);
        let expiries = self
            .accounts
            .iter()
            .flat_map(|account| account.buckets.iter())
            .filter_map(Bucket::expiry);
        let content = self.lines.iter().filter_map(|line| line.content.as_deref()?.next_due());
        renewals.chain(expiries).chain(content).min()
    }
}

/// One telephone number, SIM or modem of a subscriber.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Line {
    #[n(0)]
    pub number: u8,
    #[n(1)]
    pub standing: Standing,
    /// Bit per [`Service`]: set = barred.
    #[n(2)]
    pub barred: u8,
    #[n(3)]
    #[cbor(with = "encoding")]
    pub identities: SmallVec<[Identity; 1]>,
    /// Who pays, in order; None = the subscriber's account 1 pays for everything.
    #[n(4)]
    pub payer_rules: Option<Box<Vec<PayerRule>>>,
    #[n(5)]
    pub calls: Option<Box<LineCalls>>,
    /// Content: limits, consents, subscriptions.
    #[n(6)]
    pub content: Option<Box<LineContent>>,
    /// When IMSI or ICCID last changed, in seconds since the epoch; 0 = not since the line began.
    #[n(7)]
    #[cbor(default)]
    pub sim_changed_at: u32,
}

impl Line {
    pub fn is_barred(&self, service: Service) -> bool {
        self.barred & (1 << service as u8) != 0
    }
}

/// Which account pays for which use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct PayerRule {
    #[n(0)]
    pub account: AccountId,
    #[n(1)]
    pub scope: ScopeId,
    #[n(2)]
    pub pays: Pays,
}

/// What of the account a payer rule opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Pays {
    /// Allowances first, then money.
    #[n(0)]
    Everything,
    #[n(1)]
    AllowancesOnly,
}

/// Money and allowances. Post-paid is a credit limit above zero.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Account {
    #[n(0)]
    pub number: u8,
    #[n(1)]
    pub currency: Currency,
    /// How far below zero money may go; zero = prepaid.
    #[n(2)]
    pub credit_limit: Amount,
    #[n(3)]
    pub next_bucket: u16,
    /// Bucket 0 is the main balance and always there.
    #[n(4)]
    pub buckets: Vec<Bucket>,
    /// May lines of other subscribers name it in their payer rules?
    #[n(5)]
    pub shared: bool,
}

impl Account {
    pub const MAIN: BucketId = BucketId::new(0);

    pub fn new(number: u8, currency: Currency, credit_limit: Amount) -> Account {
        let buckets = vec![Bucket::main()];
        Account { number, currency, credit_limit, next_bucket: 1, buckets, shared: false }
    }

    pub fn bucket(&self, id: BucketId) -> Option<&Bucket> {
        self.buckets.iter().find(|bucket| bucket.id == id)
    }

    pub fn bucket_mut(&mut self, id: BucketId) -> Option<&mut Bucket> {
        self.buckets.iter_mut().find(|bucket| bucket.id == id)
    }

    /// All money in the account, main and bonus.
    pub fn money(&self) -> Amount {
        let money = self.buckets.iter().filter(|bucket| bucket.unit == Unit::Money);
        Amount::from_micros(money.fold(0i64, |sum, bucket| sum.saturating_add(bucket.balance)))
    }

    /// Money that running sessions have reserved.
    pub fn held_money(&self) -> Amount {
        let money = self.buckets.iter().filter(|bucket| bucket.unit == Unit::Money);
        Amount::from_micros(money.fold(0i64, |sum, bucket| sum.saturating_add(bucket.held)))
    }
}

/// A balance of one unit with its own scope and life.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Bucket {
    #[n(0)]
    pub id: BucketId,
    #[n(1)]
    pub unit: Unit,
    #[n(2)]
    pub scope: ScopeId,
    #[n(3)]
    pub priority: u8,
    /// The subscription that brought it; 0 = none.
    #[n(4)]
    pub subscription: u8,
    /// Already kept over once, so not again.
    #[n(5)]
    pub rolled_over: bool,
    /// Units left; millionths of the account's currency when the unit is money.
    #[n(6)]
    pub balance: i64,
    /// Of these, reserved by running sessions.
    #[n(7)]
    pub held: i64,
    /// Units when it was filled.
    #[n(8)]
    pub initial: i64,
    /// Money that is earned as the units are used (see [`Bucket::deferred_at`]).
    #[n(9)]
    pub value: Amount,
    /// Seconds since the epoch; 0 = never.
    #[n(10)]
    pub expires: u32,
}

impl Bucket {
    pub fn main() -> Bucket {
        Bucket {
            id: Account::MAIN,
            unit: Unit::Money,
            scope: ScopeId::new(0),
            priority: u8::MAX,
            subscription: 0,
            rolled_over: false,
            balance: 0,
            held: 0,
            initial: 0,
            value: Amount::ZERO,
            expires: 0,
        }
    }

    pub fn is_main(&self) -> bool {
        self.id == Account::MAIN
    }

    pub fn expiry(&self) -> Option<Timestamp> {
        (self.expires != 0).then(|| Timestamp::from_seconds(i64::from(self.expires)))
    }

    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expiry().is_some_and(|expiry| expiry <= now)
    }

    /// Money not yet earned when `balance` units are left: a pure function of what is left,
    /// so it does not matter in how many steps the units went.
    pub fn deferred_at(&self, balance: i64) -> Amount {
        if self.value.is_zero() || self.initial <= 0 || balance <= 0 {
            return Amount::ZERO;
        }
        let left = i128::from(self.value.micros()) * i128::from(balance.min(self.initial));
        Amount::from_wide(left / i128::from(self.initial)).unwrap_or(Amount::ZERO)
    }
}

/// An offer held by a subscriber.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Subscription {
    #[n(0)]
    pub number: u8,
    #[n(1)]
    pub state: SubscriptionState,
    /// Account that pays the fees and gets the allowances.
    #[n(2)]
    pub account: u8,
    #[n(3)]
    pub offer: OfferId,
    #[n(4)]
    pub started_at: Timestamp,
    /// End of the paid period; None for one-off purchases.
    #[n(5)]
    pub renews_at: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum SubscriptionState {
    #[n(0)]
    Active,
    /// The last renewal could not be paid; tried again at the next top-up and every day.
    #[n(1)]
    Unpaid,
    /// Runs to the end of the paid period, then ends.
    #[n(2)]
    Cancelled,
    #[n(3)]
    Ended,
}

impl SubscriptionState {
    pub fn is_live(self) -> bool {
        self != SubscriptionState::Ended
    }

    pub fn name(self) -> &'static str {
        match self {
            SubscriptionState::Active => "active",
            SubscriptionState::Unpaid => "unpaid",
            SubscriptionState::Cancelled => "cancelled",
            SubscriptionState::Ended => "ended",
        }
    }
}

/// Use or money so far in one calendar month or day, for prices with tiers and caps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Counter {
    #[n(0)]
    pub key: CounterKey,
    /// Which month or day.
    #[n(1)]
    pub period: u32,
    #[n(2)]
    pub total: u64,
}

/// A counter belongs to a named price list and has a number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
pub struct CounterKey {
    #[n(0)]
    pub list: crate::identifier::PriceListId,
    #[n(1)]
    pub counter: u16,
    #[n(2)]
    #[cbor(default)]
    pub of: Counted,
}

/// What a counter counts, and for how long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum Counted {
    /// Use, or money spent, in a calendar month.
    #[n(0)]
    #[default]
    Month,
    /// What was charged under a cap per day.
    #[n(1)]
    CappedDay,
    /// What was charged under a cap per month.
    #[n(2)]
    CappedMonth,
}

/// The counter's total in that period; zero when it is known no more.
pub fn counted(counters: &[Counter], key: CounterKey, period: u32) -> u64 {
    let found = counters.iter().find(|counter| counter.key == key && counter.period == period);
    found.map_or(0, |counter| counter.total)
}

/// Counts `units` more, starting anew in a new period. What caps look at is kept for the period before, too: use
/// that was granted in it may be reported later.
pub fn count(counters: &mut Vec<Counter>, key: CounterKey, period: u32, units: u64) {
    let same = |counter: &Counter| counter.key == key;
    if let Some(counter) = counters.iter_mut().find(|one| same(one) && one.period == period) {
        counter.total = counter.total.saturating_add(units);
        return;
    }
    let kept = if key.of == Counted::Month { 0 } else { 1 };
    counters.retain(|counter| !same(counter) || counter.period.saturating_add(kept) >= period);
    counters.push(Counter { key, period, total: units });
}
