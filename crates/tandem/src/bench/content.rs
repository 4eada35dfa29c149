//! One-step payments over HTTPS, durable, all legs posted; the shop on the same processors.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tandem_content_interface::ContentOptions;
use tandem_domain::command::Administer;
use tandem_domain::identifier::VnoId;
use tandem_domain::money::{Amount, Currency, Money};
use tandem_simulators::shop::{Shop, payment};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{Bed, Figures, millis, process};
use crate::shop;
use crate::world::{World, number_of};

/// For measurements on loopback only: everybody has the key.
const CERTIFICATE: &[u8] = include_bytes!("../../../../simulators/tls/certificate.pem");
const KEY: &[u8] = include_bytes!("../../../../simulators/tls/key.pem");
const PAYMENTS: &str = "/carrier-billing/v0.5/payments";
const ISSUER: &str = "https://bench.tandem.example";
/// Requests under way at once when it goes as fast as it can.
const IN_FLIGHT: u64 = 64;

struct Run {
    sold: u64,
    refused: u64,
    elapsed: Duration,
    delays: Vec<Duration>,
    /// Processor time of the shop.
    busy: Duration,
}

impl Run {
    fn rate(&self) -> f64 {
        self.sold as f64 / self.elapsed.as_secs_f64()
    }

    fn quantile(&mut self, permille: usize) -> Duration {
        self.delays.sort_unstable();
        let index = (self.delays.len() * permille / 1000).min(self.delays.len().saturating_sub(1));
        self.delays.get(index).copied().unwrap_or_default()
    }
}

pub fn run(seconds: u64, subscribers: u64) -> anyhow::Result<Figures> {
    let bed = Bed::warm("content", true)?;
    let mut world = World::new(&bed.platform);
    world.build_parties()?;
    shop::agree(&mut world)?;
    let money = |text: &str| Money::new(text.parse().expect("amount"), Currency::EUR);
    let vno = VnoId::new(0);
    world.administer(Administer::Deposit { vno, money: money("1000000000.00"), note: None })?;
    world.subscribers(vno, 0..subscribers, &[], Amount::ZERO, |_| {})?;
    world.top_up(vno, 1..=u32::try_from(subscribers)?, money("100000.00"))?;
    let runtime = crate::runtime()?;
    let options = ContentOptions { issuer: ISSUER.into(), ..ContentOptions::default() };
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE)?;
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], PrivateKeyDer::from_pem_slice(KEY)?)?;
    let server = runtime.block_on(async {
        let router = tandem_content_interface::router(bed.platform.clone(), options).await?;
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        anyhow::Ok(tandem_http_api::serve_tls(any, router, Arc::new(config)).await?)
    })?;
    let base = format!("https://127.0.0.1:{}", server.address.port());
    let shop = Arc::new(Shop::new(&base, ISSUER, shop::CLIENT, Some(certificate))?);
    shop::register(&world, &shop)?;
    let mut next = 0;
    let mut measure = |pace: Option<f64>, duration: Duration| {
        let first = next;
        next += 1 << 32;
        let shop = shop.clone();
        let client = std::thread::spawn(move || sell(&shop, first, subscribers, pace, duration));
        client.join().map_err(|_| anyhow::anyhow!("the shop broke off"))?
    };
    measure(None, Duration::from_secs(seconds.min(2)))?;
    let before = process::processor_time();
    let mut full = measure(None, Duration::from_secs(seconds))?;
    let ours = (process::processor_time() - before).saturating_sub(full.busy);
    println!("as fast as it goes: {:.0} payments/s, {} refused", full.rate(), full.refused);
    println!(
        "  p50 {:?}, p99 {:?} with {IN_FLIGHT} under way",
        full.quantile(500),
        full.quantile(990)
    );
    println!(
        "  {:.0} µs of our processor time a payment, the shop was busy {:.0} % of the time",
        ours.as_secs_f64() * 1e6 / full.sold.max(1) as f64,
        100.0 * full.busy.as_secs_f64() / full.elapsed.as_secs_f64()
    );
    let mut half = measure(Some(full.rate() / 2.0), Duration::from_secs(seconds))?;
    let (p50, p99) = (half.quantile(500), half.quantile(990));
    println!(
        "at half load: {:.0} payments/s, {} refused, p50 {p50:?}, p99 {p99:?}",
        half.rate(),
        half.refused
    );
    runtime.block_on(server.stop());
    let mut figures = Figures::new();
    figures.insert("operations_per_second".into(), full.rate().into());
    figures.insert("p50_ms".into(), millis(p50));
    figures.insert("p99_ms".into(), millis(p99));
    figures.insert("refused".into(), (full.refused + half.refused).into());
    figures.insert("subscribers".into(), subscribers.into());
    Ok(figures)
}

/// Sells for a while, on one thread: as fast as answers come, or so many a second.
fn sell(
    shop: &Arc<Shop>,
    first: u64,
    users: u64,
    pace: Option<f64>,
    duration: Duration,
) -> anyhow::Result<Run> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let began_busy = process::thread_time();
    let started = Instant::now();
    let (sold, refused, delays) = runtime.block_on(async {
        let token = Arc::new(shop.token("").await?);
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..IN_FLIGHT {
            let (shop, token) = (shop.clone(), token.clone());
            let each = pace.map(|pace| Duration::from_secs_f64(IN_FLIGHT as f64 / pace));
            tasks.spawn(async move {
                let (mut sold, mut refused, mut delays) = (0u64, 0u64, Vec::new());
                // Spread over the interval, so that they do not come in bursts.
                let mut due = started + each.unwrap_or_default() * task as u32 / IN_FLIGHT as u32;
                let mut number = first + task;
                while started.elapsed() < duration {
                    if let Some(each) = each {
                        tokio::time::sleep_until(due.into()).await;
                        due += each;
                    }
                    let user = format!("+{}", number_of(number % users));
                    let body = payment(Some(&user), "0.99", &format!("n{number}"));
                    number += IN_FLIGHT;
                    // At a pace, waiting for a late answer counts too.
                    let asked = each.map_or_else(Instant::now, |each| due - each);
                    let answer =
                        shop.ask(hyper::Method::POST, PAYMENTS, &token, Some(&body)).await?;
                    delays.push(asked.elapsed());
                    if answer.status == 201 { sold += 1 } else { refused += 1 }
                }
                anyhow::Ok((sold, refused, delays))
            });
        }
        let mut all = (0, 0, Vec::new());
        while let Some(done) = tasks.join_next().await {
            let (sold, refused, mut delays) = done??;
            all.0 += sold;
            all.1 += refused;
            all.2.append(&mut delays);
        }
        anyhow::Ok(all)
    })?;
    let busy = process::thread_time().saturating_sub(began_busy);
    Ok(Run { sold, refused, elapsed: started.elapsed(), delays, busy })
}
