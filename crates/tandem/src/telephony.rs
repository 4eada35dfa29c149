//! The demo's calls: three carriers' circuit switches that differ in price and temper, and one that brings
//! subscribers' calls.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tandem_carrier_interface::circuit_switch::sip::{self, SipOptions, SipServer};
use tandem_platform::Platform;
use tandem_simulators::switch::{CalledSwitch, CallingSwitch, Manner, Outcome, Pace};

use crate::world::{World, number_of};

/// Carrier, its trunk, and how it behaves: the cheapest fails now and then.
const CALLED: [(u16, &str, Manner); 3] = [
    (0, "nordtel-sbc", Manner::RefusesSome(503, 15)),
    (4, "datagrid-sbc", Manner::RefusesSome(486, 10)),
    (1, "wavecom-msc-out", Manner::Answers),
];
const CALLS_PER_SECOND: u64 = 40;
const TALK: Duration = Duration::from_millis(2_500);
const DESTINATIONS: [&str; 3] = ["+4930", "+49171", "+4420"];

pub struct Telephony {
    pub server: SipServer,
    called: Vec<CalledSwitch>,
    calling: Option<std::thread::JoinHandle<Outcome>>,
    stop: Arc<AtomicBool>,
}

impl Telephony {
    /// Opens the door for calls; with `subscribers` (first number and how many) calls come too.
    pub async fn start(
        platform: &Platform,
        listen: SocketAddr,
        subscribers: Option<(u64, u64)>,
    ) -> anyhow::Result<Telephony> {
        let server = sip::serve(platform.clone(), SipOptions::new(listen)).await?;
        let mut telephony = Telephony {
            server,
            called: Vec::new(),
            calling: None,
            stop: Arc::new(AtomicBool::new(false)),
        };
        if let Some((first, count)) = subscribers {
            tokio::task::block_in_place(|| telephony.traffic(platform, first, count))?;
        }
        Ok(telephony)
    }

    fn traffic(&mut self, platform: &Platform, first: u64, count: u64) -> anyhow::Result<()> {
        let world = World::new(platform);
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        for (carrier, name, manner) in CALLED {
            let switch = CalledSwitch::start(any, manner)?;
            world.set_trunk(carrier, name, switch.address, true)?;
            self.called.push(switch);
        }
        let mut calling = CallingSwitch::bind(any, self.server.address, move |call| {
            let caller = number_of(first + call % count);
            let destination = DESTINATIONS[call as usize % DESTINATIONS.len()];
            (format!("+{caller}"), format!("{destination}{}", 1_000_000 + call % 8_999_999))
        })?;
        world.set_trunk(1, "wavecom-msc", calling.address(), false)?;
        let stop = self.stop.clone();
        let run = move || {
            let mut all = Outcome::default();
            while !stop.load(Ordering::Relaxed) {
                all.add(calling.run(Pace {
                    rate: Some(CALLS_PER_SECOND),
                    calls_max: 1_000,
                    duration: Duration::from_secs(1),
                    talk: TALK,
                }));
            }
            all
        };
        self.calling = Some(std::thread::Builder::new().name("calling".into()).spawn(run)?);
        Ok(())
    }

    /// Lets the running calls end; tells what came of all.
    pub async fn stop(mut self) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        let calling = self.calling.take();
        let outcome = tokio::task::block_in_place(|| {
            calling.and_then(|calling| calling.join().ok()).unwrap_or_default()
        });
        self.server.stop().await;
        outcome
    }
}
