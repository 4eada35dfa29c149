//! Which carrier carries a call: ranked by the VNO's policy, those that would lose money left out.

use std::cmp::Reverse;

use minicbor::{Decode, Encode};
use smallvec::SmallVec;

use crate::calls::RoutingPolicy;
use crate::identifier::{CarrierId, PeerId};
use crate::money::Amount;

/// A trunk that is up and free, with what was measured of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub trunk: PeerId,
    pub carrier: CarrierId,
    /// 0 to 1000: answer-seizure ratio, call duration and post-dial delay together.
    pub quality: u16,
}

/// A candidate with its price for the first minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Priced {
    pub candidate: Candidate,
    /// In the VNO's wholesale currency.
    pub cost: Amount,
    pub margin: Amount,
    /// Seconds that the carrier was promised this month and has not carried yet.
    pub seconds_owed: u64,
}

/// One way to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Route {
    #[n(0)]
    pub trunk: PeerId,
    #[n(1)]
    pub carrier: CarrierId,
    /// What the broker earns in the first minute, in the VNO's wholesale currency.
    #[n(2)]
    pub margin: Amount,
    /// Taken in spite of the margin floor.
    #[n(3)]
    pub is_waived: bool,
}

/// The ways of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranking {
    /// In the order in which they are tried.
    pub routes: SmallVec<[Route; ROUTES_MAX]>,
    /// Those that would lose money.
    pub below_floor: SmallVec<[Route; ROUTES_MAX]>,
}

/// Ways that one call may try.
pub const ROUTES_MAX: usize = 4;

/// Which carriers are tried, and which are not. `draw` is a number from 0 to 99 that spreads calls by share.
pub fn rank(
    policy: &RoutingPolicy,
    mut priced: SmallVec<[Priced; 8]>,
    floor: Amount,
    waives: bool,
    draw: u8,
) -> Ranking {
    let chosen = match policy {
        RoutingPolicy::Share(shares) => drawn(shares, draw),
        _ => None,
    };
    let place = |carrier: CarrierId| match policy {
        RoutingPolicy::Fixed(order) => {
            order.iter().position(|known| *known == carrier).unwrap_or(order.len())
        }
        RoutingPolicy::Share(_) => usize::from(chosen != Some(carrier)),
        RoutingPolicy::LeastCost | RoutingPolicy::Quality | RoutingPolicy::Commitment => 0,
    };
    let by_commitment = *policy == RoutingPolicy::Commitment;
    let by_quality = *policy == RoutingPolicy::Quality;
    priced.sort_by_key(|one| {
        let quality = 1000 - one.candidate.quality.min(1000);
        // Differences of less than five in a hundred are no difference.
        let quality = if by_quality { quality / 50 } else { 0 };
        let owed = if by_commitment { one.seconds_owed } else { 0 };
        let trunk = one.candidate.trunk.number();
        (place(one.candidate.carrier), quality, Reverse(owed), one.cost, trunk)
    });
    let route = |one: &Priced, is_waived| Route {
        trunk: one.candidate.trunk,
        carrier: one.candidate.carrier,
        margin: one.margin,
        is_waived,
    };
    let earning = priced.iter().filter(|one| one.margin >= floor).map(|one| route(one, false));
    let mut routes: SmallVec<[Route; ROUTES_MAX]> = earning.take(ROUTES_MAX).collect();
    if routes.is_empty() && waives {
        routes.extend(priced.iter().take(1).map(|one| route(one, true)));
        return Ranking { routes, below_floor: SmallVec::new() };
    }
    let losing = priced.iter().filter(|one| one.margin < floor).map(|one| route(one, false));
    Ranking { routes, below_floor: losing.take(ROUTES_MAX).collect() }
}

/// The carrier whose part of the hundred the draw falls into.
fn drawn(shares: &[(CarrierId, u8)], draw: u8) -> Option<CarrierId> {
    let mut upper = 0u16;
    shares.iter().find_map(|(carrier, share)| {
        upper += u16::from(*share);
        (u16::from(draw) < upper).then_some(*carrier)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn priced(trunk: u16, cost: i64, margin: i64, quality: u16) -> Priced {
        let candidate =
            Candidate { trunk: PeerId::new(trunk), carrier: CarrierId::new(trunk), quality };
        let amount = Amount::from_micros;
        Priced { candidate, cost: amount(cost), margin: amount(margin), seconds_owed: 0 }
    }

    fn order(
        policy: &RoutingPolicy,
        all: &[Priced],
        floor: i64,
        waives: bool,
        draw: u8,
    ) -> Vec<u16> {
        let floor = Amount::from_micros(floor);
        let routes = rank(policy, SmallVec::from_slice(all), floor, waives, draw).routes;
        routes.iter().map(|route| route.trunk.number()).collect()
    }

    #[test]
    fn the_cheapest_comes_first_and_who_loses_money_is_left_out() {
        let all = [priced(1, 30, -5, 900), priced(2, 20, 5, 500), priced(3, 10, 15, 100)];
        assert_eq!(order(&RoutingPolicy::LeastCost, &all, 0, false, 0), [3, 2]);
        assert_eq!(order(&RoutingPolicy::LeastCost, &all, 10, false, 0), [3]);
        assert_eq!(order(&RoutingPolicy::LeastCost, &all, 100, false, 0), [0u16; 0]);
    }

    #[test]
    fn a_waived_floor_opens_one_way_and_says_so() {
        let all = [priced(1, 30, -5, 900), priced(2, 20, -1, 500)];
        let routes =
            rank(&RoutingPolicy::LeastCost, SmallVec::from_slice(&all), Amount::ZERO, true, 0)
                .routes;
        assert_eq!(routes.len(), 1);
        assert!(routes[0].is_waived && routes[0].trunk == PeerId::new(2));
    }

    #[test]
    fn quality_decides_where_it_differs_and_cost_where_it_does_not() {
        let all = [priced(1, 10, 9, 500), priced(2, 30, 9, 910), priced(3, 20, 9, 905)];
        assert_eq!(order(&RoutingPolicy::Quality, &all, 0, false, 0), [3, 2, 1]);
    }

    #[test]
    fn shares_send_each_carrier_its_part_of_the_calls() {
        let all = [priced(1, 10, 9, 0), priced(2, 20, 9, 0)];
        let policy = RoutingPolicy::Share(vec![(CarrierId::new(2), 30)]);
        let first = |draw| order(&policy, &all, 0, false, draw)[0];
        assert_eq!((0..100).filter(|draw| first(*draw) == 2).count(), 30);
    }

    #[test]
    fn a_fixed_order_is_kept() {
        let all = [priced(1, 10, 9, 0), priced(2, 20, 9, 0), priced(3, 30, 9, 0)];
        let policy = RoutingPolicy::Fixed(vec![CarrierId::new(3), CarrierId::new(2)]);
        assert_eq!(order(&policy, &all, 0, false, 0), [3, 2, 1]);
    }

    #[test]
    fn who_is_most_behind_its_commitment_comes_first_and_who_has_it_filled_is_ranked_by_cost() {
        let owed = |one: Priced, seconds_owed| Priced { seconds_owed, ..one };
        let all = [
            priced(1, 10, 9, 0),
            owed(priced(2, 20, 9, 0), 60),
            owed(priced(3, 30, 9, 0), 600),
            owed(priced(4, 30, -1, 0), 6000),
        ];
        assert_eq!(order(&RoutingPolicy::Commitment, &all, 0, false, 0), [3, 2, 1]);
        assert_eq!(order(&RoutingPolicy::LeastCost, &all, 0, false, 0), [1, 2, 3]);
    }
}
