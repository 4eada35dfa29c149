//! `tandem bench`: figures, each seen in the run that prints it.

mod charging;
mod content;
mod deck;
mod diameter;
mod disk;
mod memory;
mod process;
mod rating;
mod restart;
mod sip;

use std::path::PathBuf;
use std::time::Instant;

use tandem_platform::{Options, Platform};

#[derive(clap::Args)]
pub struct BenchArguments {
    #[command(subcommand)]
    what: Bench,
}

#[derive(clap::Subcommand)]
enum Bench {
    /// Report-and-reserve (80 %) and top-ups (20 %), durable, all legs posted, in process.
    Charging(Shape),
    /// The same through Diameter on loopback, beside a bare echo of the same messages.
    Diameter(Shape),
    /// Calls through the B2BUA, authorised, routed and charged on every leg.
    Sip(Shape),
    /// Price one call from a deck of 200,000 prefixes.
    Rating(Shape),
    /// One-step payments of content over HTTPS.
    Content(Shape),
    /// A deck of 200,000 prefixes changed while requests come.
    Deck(Shape),
    /// Resident memory of an idle subscriber with one line, one account and three buckets.
    Memory(Shape),
    /// From a stopped broker to its first answer.
    Restart(Shape),
}

#[derive(clap::Args, Clone, Copy)]
struct Shape {
    /// How long to measure.
    #[arg(long)]
    seconds: Option<u64>,
    #[arg(long)]
    subscribers: Option<u64>,
    /// Operations under way at once.
    #[arg(long)]
    in_flight: Option<usize>,
    /// One JSON object on the last line.
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &BenchArguments) -> anyhow::Result<()> {
    crate::log_to_stderr(tracing::Level::ERROR);
    let (began, stolen) = (Instant::now(), process::stolen_time());
    let (mut figures, json) = match arguments.what {
        Bench::Charging(shape) => (
            charging::run(
                shape.seconds.unwrap_or(15),
                shape.subscribers.unwrap_or(1_000_000),
                shape.in_flight.unwrap_or(256),
            )?,
            shape.json,
        ),
        Bench::Diameter(shape) => (
            diameter::run(shape.seconds.unwrap_or(10), shape.subscribers.unwrap_or(100_000))?,
            shape.json,
        ),
        Bench::Sip(shape) => {
            (sip::run(shape.seconds.unwrap_or(5), shape.subscribers.unwrap_or(20_000))?, shape.json)
        }
        Bench::Rating(shape) => (rating::run(shape.seconds.unwrap_or(3))?, shape.json),
        Bench::Content(shape) => (
            content::run(shape.seconds.unwrap_or(5), shape.subscribers.unwrap_or(20_000))?,
            shape.json,
        ),
        Bench::Deck(shape) => (
            deck::run(shape.seconds.unwrap_or(5), shape.subscribers.unwrap_or(100_000))?,
            shape.json,
        ),
        Bench::Memory(shape) => (memory::run(shape.subscribers.unwrap_or(1_000_000))?, shape.json),
        Bench::Restart(shape) => {
            (restart::run(shape.subscribers.unwrap_or(1_000_000))?, shape.json)
        }
    };
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let stolen = (process::stolen_time() - stolen).as_secs_f64() / processors as f64;
    let stolen = 100.0 * stolen / began.elapsed().as_secs_f64();
    if stolen >= 1.0 {
        println!(
            "the host of this machine kept its processors from it for {stolen:.0} % of the time"
        );
    }
    figures.insert("stolen_percent".into(), stolen.into());
    if !matches!(arguments.what, Bench::Rating(_) | Bench::Memory(_) | Bench::Restart(_)) {
        let (usual, p99) = disk::sync_alone()?;
        println!("the disk alone: a block is durable after p50 {usual:?}, p99 {p99:?}");
        figures.insert("disk_sync_p99_ms".into(), millis(p99));
    }
    if json {
        println!("{}", serde_json::Value::Object(figures));
    }
    Ok(())
}

type Figures = serde_json::Map<String, serde_json::Value>;

/// A platform in a temporary directory, gone afterwards.
struct Bed {
    platform: Platform,
    directory: PathBuf,
}

/// MiB that are touched before the clock runs, as a broker has them that runs for a while.
const RESERVE: usize = 1024;

impl Bed {
    /// With memory in reserve.
    fn warm(name: &str, follow_books: bool) -> anyhow::Result<Bed> {
        crate::memory::reserve(RESERVE);
        Bed::new(name, follow_books)
    }

    fn new(name: &str, follow_books: bool) -> anyhow::Result<Bed> {
        let directory =
            std::env::temp_dir().join(format!("tandem-bench-{name}-{}", std::process::id()));
        let mut options = Options::new(&directory);
        options.follow_books = follow_books;
        options.queue_length_max = 1 << 20;
        Ok(Bed { platform: tandem_platform::start(options)?, directory })
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.platform.stop();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Milliseconds with three digits.
fn millis(duration: std::time::Duration) -> serde_json::Value {
    let micros = duration.as_micros() as u64;
    serde_json::Value::from(micros as f64 / 1000.0)
}
