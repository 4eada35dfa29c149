//! The carriers' circuit switches: who is who, what is free, what is well.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use sip_protocol::{Flow, Millis, Transport};
use smallvec::SmallVec;
use tandem_domain::calls::{Trunk, TrunkTransport};
use tandem_domain::catalogue::Registry;
use tandem_domain::digits::Digits;
use tandem_domain::identifier::{CarrierId, PeerId};
use tandem_domain::party::Standing;
use tandem_domain::routing::Candidate;

use super::measured::{Health, Quality};

/// The address of the access, from which nothing ever comes.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// One switch, as it is now.
struct Switch {
    peer: PeerId,
    carrier: CarrierId,
    name: Box<str>,
    trunk: Arc<Trunk>,
    flow: Flow,
    active: u32,
    /// Calls that may still begin in this second.
    second: u64,
    begun: u32,
    health: Health,
    probe_at: Millis,
    quality: Quality,
}

/// A trunk with one of its channels taken.
pub(super) struct Seized {
    pub flow: Flow,
    pub trusted: bool,
    pub session_seconds: u32,
    pub takes_routing_numbers: bool,
    pub is_signed_for: bool,
    /// It tries out a switch that was out of service.
    pub is_trial: bool,
}

/// How a call to a switch failed.
#[derive(Clone, Copy)]
pub(super) struct Failed {
    /// The switch's own failure, not the called party's.
    pub is_fault: bool,
    pub rang: bool,
    pub is_trial: bool,
}

/// Where a message comes from.
#[derive(Clone)]
pub(super) struct Source {
    pub peer: PeerId,
    pub trunk: Arc<Trunk>,
}

#[derive(Default)]
pub(super) struct Trunks {
    switches: HashMap<PeerId, Switch>,
    by_address: HashMap<SocketAddr, PeerId>,
    /// The switch that stands for all phones.
    access: Option<PeerId>,
    /// Emergency numbers of all VNOs: no trunk is too full for them.
    emergency: HashSet<Digits>,
}

impl Trunks {
    /// Takes over what was provisioned; what is known of switches that stay is kept.
    pub fn refresh(&mut self, registry: &Registry) {
        let mut before = std::mem::take(&mut self.switches);
        self.by_address.clear();
        self.access = None;
        let rules = registry.vnos.iter().filter_map(|vno| vno.calls.as_deref());
        self.emergency = rules.flat_map(|calls| calls.emergency.iter().copied()).collect();
        for peer in registry.peers.iter().filter(|peer| peer.standing == Standing::Active) {
            let Some(trunk) = &peer.trunk else { continue };
            let active =
                registry.carrier(peer.carrier).is_some_and(|one| one.standing == Standing::Active);
            if !active {
                continue;
            }
            let trunk = Arc::new(trunk.as_ref().clone());
            let remote = if trunk.is_access {
                self.access = Some(peer.id);
                NOWHERE
            } else {
                let Ok(remote) = trunk.address.parse::<SocketAddr>() else { continue };
                self.by_address.insert(remote, peer.id);
                remote
            };
            let transport = match trunk.transport {
                TrunkTransport::Udp => Transport::Udp,
                TrunkTransport::Tcp => Transport::Tcp,
                TrunkTransport::Tls => Transport::Tls,
            };
            let flow = Flow { transport, remote, channel: 0 };
            let known = before.remove(&peer.id);
            let switch = match known {
                Some(known) => Switch { trunk, flow, carrier: peer.carrier, ..known },
                None => Switch {
                    peer: peer.id,
                    carrier: peer.carrier,
                    name: peer.host.clone(),
                    trunk,
                    flow,
                    active: 0,
                    second: 0,
                    begun: 0,
                    health: Health::default(),
                    probe_at: Millis(0),
                    quality: Quality::default(),
                },
            };
            self.switches.insert(peer.id, switch);
        }
    }

    /// Whose message is this? A switch is known by its address; everybody else can only be a phone.
    pub fn source(&self, flow: &Flow) -> Option<Source> {
        let exact = self.by_address.get(&flow.remote).and_then(|peer| self.switches.get(peer));
        let by_host = || {
            // Connections come from any port of the switch's host, when that host is only one switch's.
            let mut same = self.switches.values().filter(|one| {
                one.flow.transport.is_reliable() && one.flow.remote.ip() == flow.remote.ip()
            });
            let first = same.next().filter(|_| flow.transport.is_reliable());
            first.filter(|_| same.next().is_none())
        };
        let access = || self.access.and_then(|peer| self.switches.get(&peer));
        let switch = exact.or_else(by_host).or_else(access)?;
        Some(Source { peer: switch.peer, trunk: switch.trunk.clone() })
    }

    /// What the certificates of switches are made out to, where that is not their address.
    pub fn tls_names(&self) -> impl Iterator<Item = (SocketAddr, &str)> {
        self.switches.values().filter_map(move |one| {
            one.trunk.tls_name.as_deref().map(|name| (one.flow.remote, name))
        })
    }

    pub fn is_access(&self, peer: PeerId) -> bool {
        self.access == Some(peer)
    }

    pub fn is_emergency(&self, called: Digits) -> bool {
        self.emergency.contains(&called)
    }

    /// Hosts of switches.
    pub fn hosts(&self) -> impl Iterator<Item = IpAddr> {
        self.by_address.keys().map(SocketAddr::ip)
    }

    /// Do phones there know MD5 only?
    pub fn access_is_old(&self) -> bool {
        let access = self.access.and_then(|peer| self.switches.get(&peer));
        access.is_some_and(|access| access.trunk.md5_only)
    }

    /// What proves to the switch that it is us.
    pub fn login(&self, peer: PeerId) -> Option<(&str, &str)> {
        let trunk = &self.switches.get(&peer)?.trunk;
        trunk.user.as_deref().zip(trunk.password.as_deref())
    }

    /// Headers beyond the usual that go to the switch.
    pub fn passes(&self, peer: Option<PeerId>) -> &[Box<str>] {
        let switch = peer.and_then(|peer| self.switches.get(&peer));
        switch.map_or(&[], |switch| &switch.trunk.passes)
    }

    pub fn name(&self, peer: PeerId) -> &str {
        self.switches.get(&peer).map_or("phones", |switch| &switch.name)
    }

    /// Name, calls at the moment, and whether a call could go there.
    pub fn shown(&self, now: Millis) -> impl Iterator<Item = (&str, u32, bool)> {
        self.switches.values().map(move |one| (&*one.name, one.active, one.is_free(now)))
    }

    /// Switches that could carry a call now, with what was measured of them.
    pub fn candidates(&self, now: Millis, called: Digits) -> SmallVec<[Candidate; 8]> {
        let is_emergency = self.is_emergency(called);
        let usable = self.switches.values().filter(|one| {
            one.trunk.carries_calls
                && if is_emergency { one.is_open(now) } else { one.is_free(now) }
        });
        let mut candidates: SmallVec<[Candidate; 8]> = usable
            .map(|one| Candidate {
                trunk: one.peer,
                carrier: one.carrier,
                quality: one.quality.score(),
            })
            .collect();
        candidates.sort_by_key(|one| one.trunk.number());
        candidates
    }

    /// Takes a channel for a call to the switch.
    pub fn seize(&mut self, peer: PeerId, now: Millis, called: Digits) -> Option<Seized> {
        let is_emergency = self.is_emergency(called);
        let switch = self.switches.get_mut(&peer)?;
        if !(switch.is_free(now) || (is_emergency && switch.is_open(now))) {
            return None;
        }
        switch.begin(now);
        let is_trial = switch.health.call_begins();
        switch.quality.attempted();
        Some(Seized {
            flow: switch.flow,
            trusted: switch.trunk.is_trusted,
            session_seconds: switch.trunk.session_seconds,
            takes_routing_numbers: switch.trunk.takes_routing_numbers,
            is_signed_for: switch.trunk.is_signed_for,
            is_trial,
        })
    }

    /// Takes a channel for a call from the switch, or from a phone.
    pub fn admit(&mut self, peer: PeerId, now: Millis, called: Digits) -> bool {
        let is_emergency = self.emergency.contains(&called);
        let Some(switch) = self.switches.get_mut(&peer) else { return true };
        let admits = is_emergency || switch.has_room(now);
        if admits {
            switch.begin(now);
        }
        admits
    }

    /// Takes a channel for a call that runs already.
    pub fn occupy(&mut self, peer: PeerId) {
        if let Some(switch) = self.switches.get_mut(&peer) {
            switch.active += 1;
        }
    }

    pub fn release(&mut self, peer: PeerId, is_trial: bool) {
        if let Some(switch) = self.switches.get_mut(&peer) {
            switch.active = switch.active.saturating_sub(1);
            switch.health.call_ends(is_trial);
        }
    }

    pub fn rang(&mut self, peer: PeerId, millis: u64, is_trial: bool) {
        if let Some(switch) = self.switches.get_mut(&peer) {
            switch.quality.rang(millis);
            switch.health.did_well(is_trial);
        }
    }

    /// One that rang did well already.
    pub fn answered(&mut self, peer: PeerId, rang: bool, is_trial: bool) {
        if let Some(switch) = self.switches.get_mut(&peer) {
            switch.quality.answered();
            if !rang {
                switch.health.did_well(is_trial);
            }
        }
    }

    /// An answered call there is over.
    pub fn talked(&mut self, peer: PeerId, millis: u64) {
        if let Some(switch) = self.switches.get_mut(&peer) {
            switch.quality.talked(millis / 1000);
        }
    }

    /// A call failed there.
    pub fn failed(&mut self, peer: PeerId, now: Millis, how: Failed, retry_after: Option<u64>) {
        let Some(switch) = self.switches.get_mut(&peer) else { return };
        if how.is_fault {
            switch.health.did_fail(now, how.is_trial);
            if let Some(seconds) = retry_after {
                switch.health.is_busy(now, seconds);
            }
        } else if !how.rang {
            switch.health.did_well(how.is_trial);
        }
    }

    /// Switches to be probed with OPTIONS now.
    pub fn due_for_probe(&mut self, now: Millis) -> Vec<(PeerId, Flow)> {
        let probed =
            self.switches.values_mut().filter(|one| one.trunk.is_probed && !one.trunk.is_access);
        let due = probed.filter(|one| one.probe_at <= now);
        due.map(|one| {
            one.probe_at = one.health.next_probe(now);
            (one.peer, one.flow)
        })
        .collect()
    }

    /// How a probe ended: any final answer but 408 and 503 is a sign of life.
    pub fn probed(&mut self, peer: PeerId, now: Millis, is_alive: bool) {
        if let Some(switch) = self.switches.get_mut(&peer) {
            switch.health.probed(now, is_alive);
        }
    }
}

impl Switch {
    fn has_room(&self, now: Millis) -> bool {
        let calls = self.trunk.calls_max;
        let rate = self.trunk.calls_per_second_max;
        let begun = if self.second == now.0 / 1000 { self.begun } else { 0 };
        (calls == 0 || self.active < calls) && (rate == 0 || begun < rate)
    }

    fn is_open(&self, now: Millis) -> bool {
        self.health.is_open(now, self.trunk.is_probed)
    }

    fn is_free(&self, now: Millis) -> bool {
        self.is_open(now) && self.has_room(now)
    }

    fn begin(&mut self, now: Millis) {
        let second = now.0 / 1000;
        if self.second != second {
            (self.second, self.begun) = (second, 0);
        }
        self.begun += 1;
        self.active += 1;
    }
}
