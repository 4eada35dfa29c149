//! What people do all day: data sessions, calls, messages, purchases, made up from a seed.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use diameter_protocol::credit_control::{
    CreditControlResult, RequestGroup, RequestHead, RequestType, RequestedAction, SubscriptionId,
    SubscriptionIdType, Units,
};
use diameter_protocol::writer::Identity;
use tokio::sync::mpsc;

use crate::gateway::{Gateway, Push};
use crate::random::Random;

/// What a switch does for its users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    Data,
    Voice,
    Messages,
    Content,
}

/// One switch's traffic.
#[derive(Clone, Debug)]
pub struct Plan {
    pub habit: Habit,
    pub server_realm: String,
    /// MSISDNs without plus.
    pub users: Vec<String>,
    /// Numbers called.
    pub destinations: Vec<String>,
    pub serving_network: Option<String>,
    /// Rating-Group of data.
    pub rating_group: u32,
    /// Users active at once.
    pub parallel: usize,
    /// Between two requests of one user.
    pub pause: Duration,
    pub seed: u64,
}

#[derive(Debug, Default)]
pub struct Counts {
    pub requests: AtomicU64,
    pub refused: AtomicU64,
    pub failed: AtomicU64,
}

/// Ends when `stop` is set.
pub async fn run(
    gateway: Gateway,
    pushes: mpsc::UnboundedReceiver<Push>,
    plan: Plan,
    counts: Arc<Counts>,
    stop: Arc<AtomicBool>,
) {
    let aborted = Arc::new(Mutex::new(HashSet::new()));
    tokio::spawn(note_pushes(pushes, aborted.clone()));
    let plan = Arc::new(plan);
    let mut users = Vec::new();
    for index in 0..plan.parallel {
        let user = User {
            gateway: gateway.clone(),
            plan: plan.clone(),
            random: Random::new(plan.seed.wrapping_add(index as u64 * 7919)),
            counts: counts.clone(),
            stop: stop.clone(),
            aborted: aborted.clone(),
            index: index as u64,
            sessions: 0,
        };
        users.push(tokio::spawn(user.live()));
    }
    for user in users {
        let _ = user.await;
    }
}

async fn note_pushes(
    mut pushes: mpsc::UnboundedReceiver<Push>,
    aborted: Arc<Mutex<HashSet<String>>>,
) {
    while let Some(push) = pushes.recv().await {
        if let Push::Abort(session) = push {
            aborted.lock().unwrap_or_else(PoisonError::into_inner).insert(session);
        }
    }
}

struct User {
    gateway: Gateway,
    plan: Arc<Plan>,
    random: Random,
    counts: Arc<Counts>,
    stop: Arc<AtomicBool>,
    aborted: Arc<Mutex<HashSet<String>>>,
    index: u64,
    sessions: u64,
}

impl User {
    async fn live(mut self) {
        while !self.stop.load(Ordering::Relaxed) {
            self.sessions += 1;
            let session = format!(
                "{};{};{}",
                self.gateway.host(),
                self.index,
                self.sessions ^ self.plan.seed << 20
            );
            let who = self.random.below(self.plan.users.len() as u64) as usize;
            let user = self.plan.users.get(who).cloned().unwrap_or_default();
            match self.plan.habit {
                Habit::Data | Habit::Voice => self.session(&session, &user).await,
                Habit::Messages | Habit::Content => self.event(&session, &user).await,
            }
            tokio::time::sleep(self.plan.pause).await;
        }
    }

    fn destination(&mut self) -> Option<String> {
        let count = self.plan.destinations.len() as u64;
        if count == 0 {
            return None;
        }
        let which = self.random.below(count) as usize;
        let number = self.plan.destinations.get(which)?;
        Some(format!("tel:+{number}{:06}", self.random.below(1_000_000)))
    }

    fn units(&self, amount: u64) -> Units {
        match self.plan.habit {
            Habit::Data => Units {
                total_octets: Some(amount),
                input_octets: Some(amount / 5),
                output_octets: Some(amount - amount / 5),
                ..Units::default()
            },
            _ => Units {
                seconds: Some(u32::try_from(amount).unwrap_or(u32::MAX)),
                ..Units::default()
            },
        }
    }

    /// Opens, uses what is granted a few times, closes. Stops where it is told to.
    async fn session(&mut self, session: &str, user: &str) {
        let destination = if self.plan.habit == Habit::Voice { self.destination() } else { None };
        let reports = self.random.between(1, 4);
        let mut used = None;
        for number in 0..=reports {
            let is_last = number == reports || self.stop.load(Ordering::Relaxed);
            let request_type = match (number, is_last) {
                (0, _) => RequestType::Initial,
                (_, true) => RequestType::Termination,
                _ => RequestType::Update,
            };
            let closing = request_type == RequestType::Termination;
            let group = RequestGroup {
                rating_group: Some(self.plan.rating_group),
                requested: (!closing).then(Units::default),
                used,
                reporting_reason: used.map(|_| if closing { 2 } else { 0 }),
                ..RequestGroup::default()
            };
            let answer = self
                .ask(session, user, destination.as_deref(), request_type, number as u32, &[group])
                .await;
            let Some(answer) = answer.filter(|_| !closing) else { return };
            let granted = answer.groups.first().and_then(|group| group.granted);
            let amount = granted.and_then(|units| units.octets().or(units.seconds.map(u64::from)));
            if answer.result != 2001 {
                return;
            }
            let ended = self.aborted.lock().unwrap_or_else(PoisonError::into_inner).remove(session);
            match amount.filter(|amount| *amount > 0 && !ended) {
                Some(amount) => {
                    let share = self.random.between(20, 100);
                    used = Some(self.units((u128::from(amount) * u128::from(share) / 100) as u64));
                }
                None => {
                    self.close(session, user, destination.as_deref(), number as u32 + 1).await;
                    return;
                }
            }
            tokio::time::sleep(self.plan.pause).await;
        }
    }

    async fn close(&mut self, session: &str, user: &str, destination: Option<&str>, number: u32) {
        self.ask(session, user, destination, RequestType::Termination, number, &[]).await;
    }

    async fn event(&mut self, session: &str, user: &str) {
        let destination = self.destination();
        let is_message = self.plan.habit == Habit::Messages;
        let units = Units { service_specific: Some(1), ..Units::default() };
        let ids = [SubscriptionId { kind: SubscriptionIdType::E164, data: user }];
        let head = RequestHead {
            service_context: if is_message { "32274@3gpp.org" } else { "32280@3gpp.org" },
            requested_action: Some(RequestedAction::DirectDebiting),
            requested: Some(units),
            service_identifier: (!is_message).then_some(9001),
            recipient: destination
                .as_deref()
                .filter(|_| is_message)
                .map(|number| number.trim_start_matches("tel:+")),
            ..self.head(session, RequestType::Event, 0, &ids, &[])
        };
        let answer = self.gateway.ask(&head).await.ok();
        self.count(&answer);
    }

    fn head<'a>(
        &'a self,
        session: &'a str,
        request_type: RequestType,
        number: u32,
        ids: &'a [SubscriptionId<'a>],
        groups: &'a [RequestGroup],
    ) -> RequestHead<'a> {
        RequestHead {
            session_id: session,
            origin: Identity { host: self.gateway.host(), realm: self.gateway.realm() },
            destination_realm: &self.plan.server_realm,
            destination_host: None,
            service_context: "32251@3gpp.org",
            request_type,
            number,
            hop_by_hop: 0,
            end_to_end: 0,
            is_retransmission: false,
            origin_state_id: None,
            subscription_ids: ids,
            requested_action: None,
            event_timestamp: None,
            requested: None,
            service_identifier: None,
            groups,
            access_point: None,
            serving_network: None,
            called_party: None,
            calling_party: None,
            recipient: None,
        }
    }

    async fn ask(
        &mut self,
        session: &str,
        user: &str,
        destination: Option<&str>,
        request_type: RequestType,
        number: u32,
        groups: &[RequestGroup],
    ) -> Option<CreditControlResult> {
        let ids = [SubscriptionId { kind: SubscriptionIdType::E164, data: user }];
        let calling = format!("tel:+{user}");
        let is_data = self.plan.habit == Habit::Data;
        let head = RequestHead {
            service_context: if is_data { "32251@3gpp.org" } else { "32260@3gpp.org" },
            access_point: is_data.then_some("internet"),
            serving_network: self.plan.serving_network.as_deref().filter(|_| is_data),
            called_party: destination,
            calling_party: (!is_data).then_some(calling.as_str()),
            ..self.head(session, request_type, number, &ids, groups)
        };
        let answer = self.gateway.ask(&head).await.ok();
        self.count(&answer);
        answer
    }

    fn count(&self, answer: &Option<CreditControlResult>) {
        self.counts.requests.fetch_add(1, Ordering::Relaxed);
        match answer {
            None => self.counts.failed.fetch_add(1, Ordering::Relaxed),
            Some(answer) => {
                let inside = answer
                    .groups
                    .iter()
                    .any(|group| group.result.is_some_and(|result| result >= 3000));
                self.counts
                    .refused
                    .fetch_add(u64::from(answer.result >= 3000 || inside), Ordering::Relaxed)
            }
        };
    }
}
