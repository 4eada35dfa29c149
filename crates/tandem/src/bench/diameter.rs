//! Charging through Diameter on loopback: one connection, 256 requests under way, client on the same processors.
//! Before and after it, in the same run, a bare echo that reads and answers the same messages.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use diameter_protocol::check::{Strictness, check};
use diameter_protocol::credit_control::{
    AnswerGroup, CreditControlAnswer, CreditControlRequest, GroupResult, RequestGroup, RequestHead,
    RequestType, SubscriptionId, SubscriptionIdType, Units, write_answer, write_request,
};
use diameter_protocol::message::Message;
use diameter_protocol::peer::{LocalNode, Millis, Peer, Received, Timing};
use diameter_protocol::writer::{Identity, proxy_info};
use diameter_protocol::{Framer, ResultCode, code};
use tandem_carrier_interface::packet_switch::diameter::{self, DiameterOptions};
use tandem_domain::command::Administer;
use tandem_domain::identifier::VnoId;
use tandem_domain::money::{Amount, Currency, Money};

use super::{Bed, Figures, millis, process};
use crate::world::{SERVER_REALM, World, number_of};

const UNDER_WAY: u64 = 256;
const HOST: &str = "pgw.wavecom.example";

pub fn run(seconds: u64, subscribers: u64) -> anyhow::Result<Figures> {
    let before = measure_echo(seconds, subscribers)?;
    let bed = Bed::warm("diameter", false)?;
    let mut world = World::new(&bed.platform);
    world.build_parties()?;
    let vno = VnoId::new(0);
    let money = |text: &str| Money::new(text.parse().expect("amount"), Currency::EUR);
    world.administer(Administer::Deposit { vno, money: money("1000000000.00"), note: None })?;
    world.subscribers(vno, 0..subscribers, &[], Amount::ZERO, |_| {})?;
    world.top_up(vno, 1..=u32::try_from(subscribers)?, money("1000.00"))?;
    let runtime = crate::runtime()?;
    let server = runtime.block_on(diameter::serve(
        bed.platform.clone(),
        DiameterOptions::new(SocketAddr::from(([127, 0, 0, 1], 0))),
    ))?;
    let mut client = Client::connect(server.address, subscribers)?;
    // Every session is opened before the clock starts.
    client.open_all()?;
    let earlier = bed.platform.metrics_snapshot();
    let busy = process::processor_time();
    let charged = client.drive(seconds)?;
    let busy = process::processor_time() - busy;
    let latency = bed.platform.metrics_snapshot().latency.since(&earlier.latency);
    runtime.block_on(server.stop());
    drop((client, bed));
    println!("charging    {:>10.0} requests/s, {} refused", charged.per_second(), charged.refused);
    // A shared machine changes its pace: half of the echo on either side.
    let echo = f64::midpoint(before, measure_echo(seconds, subscribers)?);
    let ratio = charged.per_second() / echo;
    println!(
        "  {:.1} % of the echo; the client waited {:.0} % of the time",
        ratio * 100.0,
        charged.waited * 100.0
    );
    println!(
        "  {:.0} requests per second of processor time, client included",
        charged.answers as f64 / busy.as_secs_f64()
    );
    println!(
        "  from submission to durable: p50 {:?}, p99 {:?}",
        latency.quantile(500),
        latency.quantile(990)
    );
    let mut figures = Figures::new();
    figures.insert("operations_per_second".into(), charged.per_second().into());
    figures.insert(
        "operations_per_core_second".into(),
        (charged.answers as f64 / busy.as_secs_f64()).into(),
    );
    figures.insert("echo_ratio".into(), ratio.into());
    figures.insert("p50_ms".into(), millis(latency.quantile(500)));
    figures.insert("p99_ms".into(), millis(latency.quantile(990)));
    figures.insert("p999_ms".into(), millis(latency.quantile(999)));
    figures.insert("subscribers".into(), subscribers.into());
    Ok(figures)
}

/// Requests per second of the bare echo.
fn measure_echo(seconds: u64, subscribers: u64) -> anyhow::Result<f64> {
    let echoed = Client::connect(echo_server()?, subscribers)?.drive(seconds.div_ceil(2))?;
    println!("bare echo   {:>10.0} requests/s", echoed.per_second());
    Ok(echoed.per_second())
}

struct Outcome {
    answers: u64,
    refused: u64,
    elapsed: Duration,
    /// The part of the time that the client spent waiting for answers: it was not the limit.
    waited: f64,
}

impl Outcome {
    fn per_second(&self) -> f64 {
        self.answers as f64 / self.elapsed.as_secs_f64()
    }
}

struct Client {
    stream: TcpStream,
    received: Vec<u8>,
    out: Vec<u8>,
    subscribers: u64,
    numbers: Vec<u32>,
    next: u64,
    identifier: u32,
}

impl Client {
    fn connect(server: SocketAddr, subscribers: u64) -> anyhow::Result<Client> {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        let mut client = Client {
            stream,
            received: Vec::new(),
            out: Vec::new(),
            subscribers,
            numbers: vec![0; usize::try_from(subscribers)?],
            next: 0,
            identifier: 1,
        };
        let node = LocalNode {
            host: HOST.into(),
            realm: "wavecom.example".into(),
            addresses: vec![server.ip()],
            product: "bench".into(),
            origin_state_id: 1,
        };
        let mut machine = Peer::initiator(node, Timing::default(), 0, Millis(0), &mut client.out);
        client.send()?;
        loop {
            client.fill()?;
            if let Some(length) = Framer::default().front(&client.received)? {
                let Ok(message) = Message::decode(&client.received[..length]) else {
                    bail!("no CEA")
                };
                let received = machine.handle(Millis(0), &message, &mut Vec::new());
                if !matches!(received, Received::Opened(_)) {
                    bail!("refused: {received:?}");
                }
                client.received.drain(..length);
                return Ok(client);
            }
        }
    }

    fn send(&mut self) -> std::io::Result<()> {
        self.stream.write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }

    fn fill(&mut self) -> anyhow::Result<()> {
        let length = self.received.len();
        self.received.resize(length + (64 << 10), 0);
        let count = self.stream.read(&mut self.received[length..])?;
        self.received.truncate(length + count);
        if count == 0 { bail!("the server closed the connection") } else { Ok(()) }
    }

    /// The next request of the next session, round and round.
    fn request(&mut self) {
        let session = self.next % self.subscribers;
        self.next += 1;
        let number = self.numbers[session as usize];
        self.numbers[session as usize] += 1;
        let user = number_of(session);
        let ids = [SubscriptionId { kind: SubscriptionIdType::E164, data: &user }];
        let octets = Units {
            total_octets: Some(400_000),
            input_octets: Some(100_000),
            output_octets: Some(300_000),
            ..Units::default()
        };
        let group = RequestGroup {
            rating_group: Some(10),
            requested: Some(Units { total_octets: Some(1 << 20), ..Units::default() }),
            used: (number > 0).then_some(octets),
            reporting_reason: (number > 0).then_some(0),
            ..RequestGroup::default()
        };
        self.identifier = self.identifier.wrapping_add(1);
        let head = RequestHead {
            session_id: &format!("{HOST};bench;{session}"),
            origin: Identity { host: HOST, realm: "wavecom.example" },
            destination_realm: SERVER_REALM,
            destination_host: None,
            service_context: "32251@3gpp.org",
            request_type: if number == 0 { RequestType::Initial } else { RequestType::Update },
            number,
            hop_by_hop: self.identifier,
            end_to_end: self.identifier,
            is_retransmission: false,
            origin_state_id: None,
            subscription_ids: &ids,
            requested_action: None,
            event_timestamp: None,
            requested: None,
            service_identifier: None,
            groups: &[group],
            access_point: Some("internet"),
            serving_network: Some("26201"),
            called_party: None,
            calling_party: None,
            recipient: None,
        };
        write_request(&mut self.out, &head);
    }

    /// Takes all whole answers; returns how many came, and how many were refusals.
    fn take(&mut self) -> anyhow::Result<(u64, u64)> {
        let (mut answers, mut refused, mut at) = (0, 0, 0);
        while let Some(length) = Framer::default().front(&self.received[at..])? {
            let Ok(message) = Message::decode(&self.received[at..at + length]) else {
                bail!("an answer cannot be read")
            };
            let result = message.avp(code::RESULT_CODE).and_then(|avp| avp.u32().ok());
            refused += u64::from(result != Some(2001));
            answers += 1;
            at += length;
        }
        self.received.drain(..at);
        Ok((answers, refused))
    }

    fn open_all(&mut self) -> anyhow::Result<()> {
        let all = self.subscribers;
        let (mut sent, mut answered) = (0, 0);
        while answered < all {
            while sent < all && sent - answered < UNDER_WAY {
                self.request();
                sent += 1;
            }
            self.send()?;
            self.fill()?;
            let (answers, refused) = self.take()?;
            anyhow::ensure!(refused == 0, "a session was refused");
            answered += answers;
        }
        Ok(())
    }

    fn drive(&mut self, seconds: u64) -> anyhow::Result<Outcome> {
        let started = Instant::now();
        let limit = Duration::from_secs(seconds);
        let mut outcome = Outcome { answers: 0, refused: 0, elapsed: Duration::ZERO, waited: 0.0 };
        let mut waited = Duration::ZERO;
        for _ in 0..UNDER_WAY {
            self.request();
        }
        let mut under_way = UNDER_WAY;
        while under_way > 0 {
            self.send()?;
            let asleep = Instant::now();
            self.fill()?;
            waited += asleep.elapsed();
            let (answers, refused) = self.take()?;
            outcome.answers += answers;
            outcome.refused += refused;
            under_way -= answers;
            if started.elapsed() < limit {
                (0..answers).for_each(|_| self.request());
                under_way += answers;
            }
        }
        outcome.elapsed = started.elapsed();
        outcome.waited = waited.as_secs_f64() / outcome.elapsed.as_secs_f64();
        Ok(outcome)
    }
}

/// Checks, reads and answers every request as the broker's own connection does, and nothing else: what the sockets
/// and the codec cost.
fn echo_server() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    thread::Builder::new().name("echo".into()).spawn(move || {
        // The client's end ends the echo.
        let _ = listener.accept().map_err(Into::into).and_then(|(stream, _)| echo(stream));
    })?;
    Ok(address)
}

fn echo(mut stream: TcpStream) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let node = LocalNode {
        host: "echo.tandem.example".into(),
        realm: SERVER_REALM.into(),
        addresses: vec![stream.local_addr()?.ip()],
        product: "echo".into(),
        origin_state_id: 1,
    };
    let mut machine = Peer::responder(node, Timing::default(), 0, Millis(0));
    let (mut buffer, mut out) = (vec![0u8; 256 << 10], Vec::new());
    let mut filled = 0;
    loop {
        let count = stream.read(&mut buffer[filled..])?;
        if count == 0 {
            return Ok(());
        }
        filled += count;
        let mut at = 0;
        while let Some(length) = Framer::default().front(&buffer[at..filled])? {
            let Ok(message) = Message::decode(&buffer[at..at + length]) else {
                bail!("unreadable")
            };
            match machine.handle(Millis(0), &message, &mut out) {
                Received::Introduced(_) => machine.accept(Millis(0), &mut out),
                Received::Request => answer(&message, &mut out)?,
                _ => {}
            }
            at += length;
        }
        buffer.copy_within(at..filled, 0);
        filled -= at;
        stream.write_all(&out)?;
        out.clear();
    }
}

fn answer(message: &Message<'_>, out: &mut Vec<u8>) -> anyhow::Result<()> {
    check(message, Strictness::Lenient).ok().context("not a valid request")?;
    let request = CreditControlRequest::read(message).ok().context("unreadable")?;
    let used = request.groups().map_while(Result::ok).flat_map(|group| group.used());
    std::hint::black_box(used.map_while(Result::ok).filter_map(|used| used.units.octets()).last());
    let groups = request.groups().map_while(Result::ok).map(|group| AnswerGroup {
        rating_group: group.rating_group,
        service_identifier: group.service_identifier,
        result: GroupResult(ResultCode::SUCCESS),
        granted: Some(Units { total_octets: Some(1 << 20), ..Units::default() }),
        tariff_time_change: None,
        validity_seconds: Some(3600),
        time_threshold: None,
        volume_threshold: Some(100_000),
        unit_threshold: None,
        holding_seconds: Some(600),
        final_unit: None,
        refund_information: None,
    });
    let answer = CreditControlAnswer {
        request_type: 2,
        number: request.number,
        groups: groups.collect(),
        ..CreditControlAnswer::default()
    };
    let origin = Identity { host: "echo.tandem.example", realm: SERVER_REALM };
    write_answer(
        out,
        &message.header,
        &proxy_info(message),
        request.session_id,
        origin,
        ResultCode::SUCCESS,
        &answer,
    );
    Ok(())
}
