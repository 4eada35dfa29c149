//! `tandem demo`: the main job on real sockets, for anybody to watch.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use tandem_carrier_interface::packet_switch::diameter::{self, DiameterOptions, DiameterServer};
use tandem_content_interface::ContentOptions;
use tandem_domain::identifier::VnoId;
use tandem_domain::money::{Amount, Currency, Money};
use tandem_platform::{Options, Platform};
use tandem_simulators::gateway::Gateway;
use tandem_simulators::switch::Outcome;
use tandem_simulators::traffic::{self, Counts, Habit, Plan};

use crate::screen;
use crate::shop::{self, Counter, Sales};
use crate::telephony::Telephony;
use crate::world::{CARRIERS, SERVER_REALM, VNOS, World, number_of};

#[derive(clap::Args)]
pub struct DemoArguments {
    /// How long, such as 30s or 2m; until Ctrl-C when left out.
    #[arg(long)]
    duration: Option<String>,
    /// The same seed makes the same traffic.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Keep the data here; a fresh temporary directory when left out.
    #[arg(long)]
    data: Option<PathBuf>,
    /// The world without traffic: drive it with your own client.
    #[arg(long)]
    idle: bool,
    /// Subscribers of each VNO.
    #[arg(long, default_value_t = 2_000)]
    subscribers: u32,
    /// Users of each switch who are active at once.
    #[arg(long, default_value_t = 40)]
    parallel: usize,
    #[arg(long, default_value = "127.0.0.1:0")]
    http: SocketAddr,
    #[arg(long, default_value = "127.0.0.1:0")]
    diameter: SocketAddr,
    #[arg(long, default_value = "127.0.0.1:0")]
    sip: SocketAddr,
}

/// Numbers that demo users call begin so.
const DESTINATIONS: [&str; 5] = ["4930", "49171", "4420", "1212", "8821"];

pub fn run(arguments: &DemoArguments) -> anyhow::Result<bool> {
    crate::log_to_stderr(tracing::Level::ERROR);
    let duration = arguments.duration.as_deref().map(parse_duration).transpose()?;
    let (directory, is_temporary) = match &arguments.data {
        Some(directory) => (directory.clone(), false),
        None => (std::env::temp_dir().join(format!("tandem-demo-{}", std::process::id())), true),
    };
    let platform = tandem_platform::start(Options::new(&directory))
        .with_context(|| format!("the data in {} cannot be used", directory.display()))?;
    if platform.registry().vnos.is_empty() {
        build(&platform, arguments.subscribers)?;
    }
    let runtime = crate::runtime()?;
    let shown = runtime.block_on(show(arguments, &platform, duration));
    drop(runtime);
    platform.stop();
    shown?;
    let report = tandem_platform::audit_stopped(&directory).context("audit")?;
    println!("{report}");
    if is_temporary {
        std::fs::remove_dir_all(&directory).with_context(|| format!("{}", directory.display()))?;
    }
    Ok(report.is_clean())
}

fn build(platform: &Platform, subscribers: u32) -> anyhow::Result<()> {
    let mut world = World::new(platform);
    world.build_parties()?;
    for (index, (slug, _)) in VNOS.into_iter().enumerate() {
        let vno = VnoId::new(index as u16);
        let plan = world.publish_plan(vno, &format!("{slug}-everyday"), "9.99")?;
        let first = first_number(index);
        // Every tenth is post-paid; the rest is prepaid and holds more or less money.
        let tenth = u64::from(subscribers / 10);
        let credit: Amount = "50.00".parse()?;
        world.subscribers(vno, first..first + tenth, &[plan], credit, |_| {})?;
        world.subscribers(
            vno,
            first + tenth..first + u64::from(subscribers),
            &[],
            Amount::ZERO,
            |_| {},
        )?;
        let money = |text: &str| text.parse().map(|amount| Money::new(amount, Currency::EUR));
        world.top_up(vno, subscribers / 10 + 1..=subscribers / 2, money("25.00")?)?;
        world.top_up(vno, subscribers / 2 + 1..=subscribers, money("3.00")?)?;
    }
    shop::build(&mut world)
}

fn first_number(vno: usize) -> u64 {
    1 + vno as u64 * 10_000_000
}

async fn show(
    arguments: &DemoArguments,
    platform: &Platform,
    duration: Option<Duration>,
) -> anyhow::Result<()> {
    let key = crate::serve::first_key(platform).await?;
    let diameter = diameter::serve(platform.clone(), DiameterOptions::new(arguments.diameter))
        .await
        .context("Diameter")?;
    let callers = (first_number(0), u64::from(arguments.subscribers));
    let telephony =
        Telephony::start(platform, arguments.sip, (!arguments.idle).then_some(callers)).await?;
    let bound = tandem_http_api::Bound::to(arguments.http).await.context("HTTP")?;
    let issuer = format!("http://{}", bound.address);
    let content = ContentOptions { issuer, private_sinks: true, ..ContentOptions::default() };
    let content = tandem_content_interface::router(platform.clone(), content).await?;
    let router = tandem_vno_interface::router(platform.clone()).merge(content);
    let http = bound.serve(router);
    println!("http      http://{}   (API reader: /docs, key: {key})", http.address);
    println!("diameter  {}   (peers: see docs/demo-world.md)", diameter.address);
    println!("sip       {}   (trunks: GET /v1/carriers/nordtel/trunks)", telephony.server.address);
    let stop = Arc::new(AtomicBool::new(false));
    let counts = Arc::new(Counts::default());
    let switches = if arguments.idle {
        Vec::new()
    } else {
        start_traffic(arguments, &diameter, &counts, &stop).await?
    };
    let sales = open_shop(arguments, platform, http.address, &stop)?;
    watch(platform, duration, arguments.idle).await?;
    stop.store(true, Ordering::Relaxed);
    for switch in switches {
        let _ = switch.await;
    }
    let calls = telephony.stop().await;
    diameter.stop().await;
    http.stop().await;
    summary(platform, &counts, &calls, &sales).await
}

/// Playhouse opens, with the users of both VNOs as its customers.
fn open_shop(
    arguments: &DemoArguments,
    platform: &Platform,
    http: SocketAddr,
    stop: &Arc<AtomicBool>,
) -> anyhow::Result<Arc<Sales>> {
    let counter = Counter::new(http, users(arguments), arguments.seed)?;
    let sales = counter.sales.clone();
    if !arguments.idle {
        tokio::task::block_in_place(|| shop::register(&World::new(platform), counter.shop()))?;
        tokio::spawn(counter.run(stop.clone()));
    }
    Ok(sales)
}

/// MSISDNs of all users, without plus.
fn users(arguments: &DemoArguments) -> Vec<String> {
    let of = |vno| {
        (0..u64::from(arguments.subscribers))
            .map(move |number| number_of(first_number(vno) + number))
    };
    (0..VNOS.len()).flat_map(of).collect()
}

async fn start_traffic(
    arguments: &DemoArguments,
    server: &DiameterServer,
    counts: &Arc<Counts>,
    stop: &Arc<AtomicBool>,
) -> anyhow::Result<Vec<tokio::task::JoinHandle<()>>> {
    let users = users(arguments);
    let habits: [(usize, &[Habit]); 5] = [
        (0, &[Habit::Voice]),
        (1, &[Habit::Data, Habit::Voice, Habit::Messages]),
        (2, &[Habit::Data]),
        (3, &[Habit::Data]),
        (4, &[Habit::Content]),
    ];
    let mut switches = Vec::new();
    for (carrier, habits) in habits {
        for habit in habits {
            let (_, _, _, host) = CARRIERS[carrier];
            let realm = host.split_once('.').map_or(host, |(_, realm)| realm);
            let (gateway, pushes) = Gateway::connect(server.address, host, realm, 1).await?;
            let quiet = matches!(habit, Habit::Messages | Habit::Content);
            let plan = Plan {
                habit: *habit,
                server_realm: SERVER_REALM.into(),
                users: users.clone(),
                destinations: DESTINATIONS.map(String::from).to_vec(),
                // Orbita serves from space (TS 23.003: 901 is shared by satellite networks).
                // KabelNet's users watch what Playhouse pays for.
                rating_group: if carrier == 2 { shop::STREAM } else { 10 },
                serving_network: Some(if carrier == 3 { "90112" } else { "26201" }.into()),
                parallel: if quiet { arguments.parallel / 4 + 1 } else { arguments.parallel },
                pause: Duration::from_millis(if quiet { 100 } else { 40 }),
                seed: arguments
                    .seed
                    .wrapping_mul(31)
                    .wrapping_add(switches.len() as u64 * 1_000_003),
            };
            switches.push(tokio::spawn(traffic::run(
                gateway,
                pushes,
                plan,
                counts.clone(),
                stop.clone(),
            )));
        }
    }
    Ok(switches)
}

const FRAME: Duration = Duration::from_millis(500);

/// Redraws until the time is up or Ctrl-C; without a terminal a line now and then.
async fn watch(
    platform: &Platform,
    duration: Option<Duration>,
    is_idle: bool,
) -> anyhow::Result<()> {
    let started = Instant::now();
    let is_terminal = std::io::stdout().is_terminal();
    let mut before = platform.metrics_snapshot();
    let mut drawn = Instant::now();
    loop {
        tokio::select! {
            () = tokio::time::sleep(FRAME) => {}
            interrupted = tokio::signal::ctrl_c() => return interrupted.map_err(Into::into),
        }
        let now = platform.metrics_snapshot();
        let earnings = platform.read(|state, _| screen::earnings(state)).await?;
        if is_terminal && !is_idle {
            let text = screen::draw(&earnings, &before, &now, drawn.elapsed(), started.elapsed());
            let mut out = std::io::stdout().lock();
            write!(out, "\x1b[H\x1b[2J{text}")?;
            out.flush()?;
            (before, drawn) = (now, Instant::now());
        } else if drawn.elapsed() >= Duration::from_secs(5) {
            let rate = (now.answered - before.answered) / drawn.elapsed().as_secs().max(1);
            println!(
                "{:>4} s  {rate:>6} operations/s  {:>6} open sessions",
                started.elapsed().as_secs(),
                earnings.sessions
            );
            (before, drawn) = (now, Instant::now());
        }
        if duration.is_some_and(|duration| started.elapsed() >= duration) {
            return Ok(());
        }
    }
}

async fn summary(
    platform: &Platform,
    counts: &Counts,
    calls: &Outcome,
    sales: &Sales,
) -> anyhow::Result<()> {
    let earnings = platform.read(|state, _| screen::earnings(state)).await?;
    println!();
    print!("{}", screen::table(&earnings));
    let of = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
    println!();
    println!(
        "  {} requests over Diameter, {} refused, {} without an answer",
        of(&counts.requests),
        of(&counts.refused),
        of(&counts.failed)
    );
    println!(
        "  {} calls over SIP, {} ended by the caller, {} cut when the money ended, {} refused, {} lost",
        calls.placed,
        calls.completed,
        calls.cut,
        calls.refused.values().sum::<u64>(),
        calls.lost
    );
    println!(
        "  {} purchases through the payment API, {} refused, {} refunded, {} without an answer",
        of(&sales.sold),
        of(&sales.refused),
        of(&sales.refunded),
        of(&sales.failed)
    );
    println!();
    Ok(())
}

/// `30s`, `2m`, or a number of seconds.
fn parse_duration(text: &str) -> anyhow::Result<Duration> {
    let (number, factor) = match text.strip_suffix('m') {
        Some(minutes) => (minutes, 60),
        None => (text.strip_suffix('s').unwrap_or(text), 1),
    };
    let number: u64 =
        number.parse().with_context(|| format!("{text}: expected such as 30s or 2m"))?;
    Ok(Duration::from_secs(number * factor))
}
