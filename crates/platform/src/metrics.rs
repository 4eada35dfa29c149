//! What the platform counts about itself.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tandem_domain::charging::Declined;
use tandem_domain::command::Response;

#[derive(Default)]
pub struct Metrics {
    pub(crate) queue_length: AtomicUsize,
    pub(crate) overloaded: AtomicU64,
    pub(crate) answered: AtomicU64,
    pub(crate) sessions: AtomicU64,
    pub(crate) events: AtomicU64,
    pub(crate) writes: AtomicU64,
    pub(crate) declined: [AtomicU64; Declined::ALL.len()],
    pub(crate) refused: AtomicU64,
    pub(crate) records: AtomicU64,
    pub(crate) batches: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) sequence: AtomicU64,
    pub(crate) books_sequence: AtomicU64,
    /// How often they were far behind and pressed on.
    pub(crate) books_pressed: AtomicU64,
    /// Somebody waits until the books hold this record.
    pub(crate) books_wanted: AtomicU64,
    pub(crate) open_sessions: AtomicU64,
    pub(crate) subscribers: AtomicU64,
    /// What the interfaces say of themselves, in the form of this text.
    pub(crate) interfaces: Mutex<BTreeMap<&'static str, String>>,
    latency: Latency,
    commits: Latency,
}

/// Times, in buckets an eighth of a power of two wide.
struct Latency {
    buckets: [AtomicU64; Latency::BUCKETS],
}

impl Default for Latency {
    fn default() -> Latency {
        Latency { buckets: [const { AtomicU64::new(0) }; Latency::BUCKETS] }
    }
}

impl Latency {
    const SUB_BITS: u32 = 3;
    const BUCKETS: usize = 40 << Self::SUB_BITS;

    fn count(&self, elapsed: Duration, count: u64) {
        let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        self.buckets[Self::bucket(micros)].fetch_add(count, Ordering::Relaxed);
    }

    fn snapshot(&self) -> LatencySnapshot {
        let counts = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed));
        LatencySnapshot(counts.collect())
    }

    /// Below eight each value has its own bucket; above, eight for each power of two.
    fn bucket(micros: u64) -> usize {
        if micros < 1 << Self::SUB_BITS {
            return micros as usize;
        }
        let magnitude = micros.ilog2() - Self::SUB_BITS;
        let offset = (micros >> magnitude) as usize - (1 << Self::SUB_BITS);
        (((magnitude as usize + 1) << Self::SUB_BITS) + offset).min(Self::BUCKETS - 1)
    }

    /// The upper edge of a bucket.
    fn micros(bucket: usize) -> u64 {
        let offset = (bucket & ((1 << Self::SUB_BITS) - 1)) as u64;
        match (bucket >> Self::SUB_BITS).checked_sub(1) {
            None => offset + 1,
            Some(magnitude) => (offset + (1 << Self::SUB_BITS) + 1) << magnitude,
        }
    }
}

/// Quantiles of what was timed since the start, or between two snapshots.
#[derive(Clone, Debug)]
pub struct LatencySnapshot(Vec<u64>);

impl LatencySnapshot {
    /// In thousandths: 500, 990, 999; 1000 is the longest.
    pub fn quantile(&self, thousandths: u64) -> Duration {
        let total = self.count();
        let rank = (total * thousandths).div_ceil(1000).max(1);
        let mut seen = 0;
        for (bucket, count) in self.0.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_micros(Latency::micros(bucket));
            }
        }
        Duration::ZERO
    }

    pub fn count(&self) -> u64 {
        self.0.iter().sum()
    }

    /// How many took longer, to the precision of a bucket.
    pub fn beyond(&self, limit: Duration) -> u64 {
        let limit = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
        self.0[Latency::bucket(limit) + 1..].iter().sum()
    }

    /// Both together.
    pub fn and(&self, other: &LatencySnapshot) -> LatencySnapshot {
        LatencySnapshot(self.0.iter().zip(&other.0).map(|(one, two)| one + two).collect())
    }

    pub fn since(&self, earlier: &LatencySnapshot) -> LatencySnapshot {
        let pairs = self.0.iter().zip(&earlier.0);
        LatencySnapshot(pairs.map(|(now, then)| now.saturating_sub(*then)).collect())
    }
}

/// The counts at one moment.
#[derive(Clone, Debug)]
pub struct MetricsSnapshot {
    pub queue_length: usize,
    pub overloaded: u64,
    pub answered: u64,
    pub declined: Vec<(Declined, u64)>,
    pub records: u64,
    pub batches: u64,
    pub bytes: u64,
    pub sequence: u64,
    pub books_sequence: u64,
    pub books_pressed: u64,
    pub open_sessions: u64,
    pub subscribers: u64,
    /// From submission to durable answer.
    pub latency: LatencySnapshot,
    /// What the journal took to make a batch durable.
    pub commits: LatencySnapshot,
}

impl Metrics {
    pub(crate) fn count(&self, response: &Response) {
        let declined = match response {
            Response::Session(result) => {
                self.sessions.fetch_add(1, Ordering::Relaxed);
                result.as_ref().err()
            }
            Response::Event(result) => {
                self.events.fetch_add(1, Ordering::Relaxed);
                result.as_ref().err()
            }
            Response::Call(result) => {
                self.sessions.fetch_add(1, Ordering::Relaxed);
                result.as_ref().as_ref().err()
            }
            Response::Administered(result) => {
                self.writes.fetch_add(1, Ordering::Relaxed);
                self.refused.fetch_add(u64::from(result.is_err()), Ordering::Relaxed);
                None
            }
            Response::Content(result) => {
                self.writes.fetch_add(1, Ordering::Relaxed);
                self.refused.fetch_add(u64::from(result.is_err()), Ordering::Relaxed);
                None
            }
            Response::Done => None,
        };
        if let Some(declined) = declined {
            self.declined[*declined as usize].fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn answered_in(&self, elapsed: Duration, count: u64) {
        self.latency.count(elapsed, count);
        self.answered.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn committed_in(&self, elapsed: Duration) {
        self.commits.count(elapsed, 1);
    }

    pub fn snapshot(&self) -> MetricsSnapshot {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let declined = Declined::ALL
            .into_iter()
            .map(|declined| (declined, of(&self.declined[declined as usize])));
        MetricsSnapshot {
            queue_length: self.queue_length.load(Ordering::Relaxed),
            overloaded: of(&self.overloaded),
            answered: of(&self.answered),
            declined: declined.filter(|(_, count)| *count > 0).collect(),
            records: of(&self.records),
            batches: of(&self.batches),
            bytes: of(&self.bytes),
            sequence: of(&self.sequence),
            books_sequence: of(&self.books_sequence),
            books_pressed: of(&self.books_pressed),
            open_sessions: of(&self.open_sessions),
            subscribers: of(&self.subscribers),
            latency: self.latency.snapshot(),
            commits: self.commits.snapshot(),
        }
    }

    /// Prometheus text exposition format 0.0.4.
    pub(crate) fn prometheus(&self) -> String {
        let now = self.snapshot();
        let mut text = String::new();
        let mut put = |name: &str, kind: &str, help: &str, value: u64| {
            // Writing to a string cannot fail.
            let _ = write!(
                text,
                "# HELP tandem_{name} {help}\n# TYPE tandem_{name} {kind}\ntandem_{name} {value}\n"
            );
        };
        put("answers_total", "counter", "Commands answered.", now.answered);
        put(
            "overloaded_total",
            "counter",
            "Commands refused because the queue was full.",
            now.overloaded,
        );
        put("queue_length", "gauge", "Commands waiting.", now.queue_length as u64);
        put("journal_records_total", "counter", "Records appended.", now.records);
        put("journal_batches_total", "counter", "Batches appended.", now.batches);
        put("journal_bytes_total", "counter", "Bytes appended.", now.bytes);
        put("journal_sequence", "gauge", "Last durable record.", now.sequence);
        put("books_sequence", "gauge", "Last record in the books.", now.books_sequence);
        let pressed =
            "Times the books were far behind and no longer left the processors to others.";
        put("books_pressed_total", "counter", pressed, now.books_pressed);
        put("open_sessions", "gauge", "Charging sessions open.", now.open_sessions);
        put("subscribers", "gauge", "Subscribers in memory.", now.subscribers);
        let timed = [
            ("answer", "from submission to durable answer", &now.latency),
            ("journal_commit", "to make a batch durable", &now.commits),
        ];
        for (name, what, times) in timed {
            let micros =
                |thousandths| u64::try_from(times.quantile(thousandths).as_micros()).unwrap_or(0);
            let (p50, p99) =
                (format!("{name}_p50_microseconds"), format!("{name}_p99_microseconds"));
            put(&p50, "gauge", &format!("Median time {what}."), micros(500));
            put(&p99, "gauge", "99th percentile of the same.", micros(990));
        }
        let _ =
            writeln!(text, "# HELP tandem_declined_total Charging requests refused, by reason.");
        let _ = writeln!(text, "# TYPE tandem_declined_total counter");
        for (declined, count) in &now.declined {
            let _ =
                writeln!(text, "tandem_declined_total{{reason=\"{}\"}} {count}", declined.name());
        }
        let interfaces = self.interfaces.lock().unwrap_or_else(PoisonError::into_inner);
        text.extend(interfaces.values().map(String::as_str));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_stay_within_an_eighth_of_what_was_measured() {
        let metrics = Metrics::default();
        for micros in [5u64, 100, 1_000, 50_000, 10_000_000] {
            let edge = Latency::micros(Latency::bucket(micros));
            assert!(
                edge >= micros && edge <= micros + micros / 8 + 1,
                "{micros} fell below {edge}"
            );
        }
        for micros in 1..=1000 {
            metrics.answered_in(Duration::from_micros(micros), 1);
        }
        let median = metrics.snapshot().latency.quantile(500).as_micros();
        assert!((500..=576).contains(&median), "{median}");
    }
}
