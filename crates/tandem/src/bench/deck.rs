//! A rate deck of 200,000 prefixes changed through the API while the platform is loaded: what requests notice of it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tandem_domain::money::Currency;
use tandem_domain::rating::{PriceListHeader, deck};

use super::charging::{Driver, Road, fill};
use super::{Bed, Figures, millis, rating};
use crate::import;

const PREFIXES: usize = 200_000;
/// One batch of 20 each millisecond: 20,000 operations a second.
const BATCH: usize = 20;
const INTERVAL: Duration = Duration::from_millis(1);
/// Before anything is measured: the journal's files go round by then, and those of the books have grown. What is written
/// where nothing was before can take a disk much longer, and would be taken for the changes' doing.
const WARM_UP: Duration = Duration::from_secs(40);
/// No request should take longer because of a change.
const LIMIT: Duration = Duration::from_millis(10);
/// Records, five seconds of load, which the books may gather: no further behind, they have caught up.
const GATHERED: u64 = 100_000;
/// Enough for old versions to be retired too.
const UPLOADS: usize = 10;

pub fn run(seconds: u64, subscribers: u64) -> anyhow::Result<Figures> {
    let bed = Bed::warm("deck", true)?;
    let platform = &bed.platform;
    let sessions = fill(platform, subscribers)?;
    let runtime = crate::runtime()?;
    let key = runtime.block_on(crate::serve::first_key(platform))?;
    let http = runtime.block_on(tandem_http_api::serve(
        SocketAddr::from(([127, 0, 0, 1], 0)),
        tandem_vno_interface::router(platform.clone()),
    ))?;
    let header = PriceListHeader::plain("bench", Currency::EUR);
    let csv = deck::write(&header, &rating::rows(PREFIXES));
    let mut driver = Driver::new(subscribers, sessions, BATCH);
    let road = Road::new(platform, 1);
    let mut measure = |duration| {
        let earlier = platform.metrics_snapshot();
        road.pace(&mut driver, INTERVAL, duration)?;
        anyhow::Ok(platform.metrics_snapshot().latency.since(&earlier.latency))
    };
    measure(WARM_UP.max(Duration::from_secs(seconds)))?;
    let server = http.address.to_string();
    let uploads = std::thread::spawn(move || {
        let started = Instant::now();
        for _ in 0..UPLOADS {
            let path = "/v1/carriers/wavecom/decks/bench?currency=EUR";
            import::call(&server, &key, "PUT", path, "text/csv", &csv)?;
        }
        anyhow::Ok(started.elapsed() / UPLOADS as u32)
    });
    let behind = || {
        let now = platform.metrics_snapshot();
        now.sequence.saturating_sub(now.books_sequence)
    };
    let behind_before = behind();
    let began = Instant::now();
    let mut loaded = measure(Duration::from_secs(1))?;
    while !uploads.is_finished() {
        loaded = measure(Duration::from_secs(1))?.and(&loaded);
    }
    // What the books still have to do because of the changes counts as well, unless they never come to an end of it.
    let at_most = began.elapsed() * 2;
    let behind_after = behind();
    while behind() > GATHERED && began.elapsed() < at_most {
        loaded = measure(Duration::from_secs(1))?.and(&loaded);
    }
    let behind_then = behind();
    let quiet = measure(began.elapsed())?;
    let each = uploads.join().map_err(|_| anyhow::anyhow!("the upload broke off"))??;
    println!(
        "records that the books were behind: {behind_before} before the changes, {behind_after} after the last, \
         {behind_then} when the time without began"
    );
    println!("{UPLOADS} changes of {PREFIXES} prefixes, {each:.1?} each, and as long without:");
    for (what, seen) in [("changing", &loaded), ("without", &quiet)] {
        let (p99, longest) = (seen.quantile(990), seen.quantile(1000));
        let late = seen.beyond(LIMIT);
        println!(
            "{what:>9}: p99 {p99:?}, longest {longest:?}, {late} of {} over {LIMIT:?}",
            seen.count()
        );
    }
    runtime.block_on(http.stop());
    let mut figures = Figures::new();
    figures.insert("p99_ms".into(), millis(loaded.quantile(990)));
    figures.insert("longest_ms".into(), millis(loaded.quantile(1000)));
    figures.insert("longest_without_ms".into(), millis(quiet.quantile(1000)));
    figures.insert("over_10_ms".into(), loaded.beyond(LIMIT).into());
    figures.insert("over_10_ms_without".into(), quiet.beyond(LIMIT).into());
    figures.insert("subscribers".into(), subscribers.into());
    Ok(figures)
}
