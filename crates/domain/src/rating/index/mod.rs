//! Lookup of a rate: a digit trie over destination prefixes, and beneath it the other parts of the match.
//!
//! All of it lies in a few vectors. A node is 12 octets with its children side by side; where only a few prefixes are
//! left they stand in one row and are compared. Large decks enter the trie at the fourth digit through a table.
//! A lookup allocates nothing.

mod build;

use std::cmp::Reverse;

use minicbor::{Decode, Encode};

use crate::digits::Digits;
use crate::service::{Direction, Service};

/// A rate of one price-list version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct RateIndex(#[n(0)] pub(super) u32);

impl RateIndex {
    pub fn position(self) -> usize {
        self.0 as usize
    }
}

/// What is to be priced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateQuery {
    pub service: Service,
    pub direction: Direction,
    pub destination: Option<Digits>,
    pub rating_group: Option<u32>,
    pub service_identifier: Option<u32>,
    /// MCC and MNC.
    pub serving_network: Option<Digits>,
    /// The caller's number.
    pub origin: Option<Digits>,
}

/// One row of the match table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub path: Path,
    pub condition: Condition,
    pub rate: u32,
}

impl Row {
    /// Rows with the same prefix stand together, the most specific first; rows that match the same are equal.
    pub fn order(&self) -> impl Ord + use<> {
        let Condition { network, rating_group, service_identifier, direction, origin } =
            self.condition;
        (
            self.path,
            Reverse(network),
            // The longer it is the more it says.
            Reverse(origin.map(|origin| (origin.len(), origin))),
            Reverse(service_identifier),
            Reverse(rating_group),
            Reverse(direction.map(|direction| direction as u8)),
        )
    }
}

/// A service and the digits of a prefix, ordered so that a prefix comes right before its extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Path(u128);

impl Path {
    const SERVICE_SHIFT: u32 = 4 * Digits::LENGTH_MAX as u32;

    /// None when the prefix is not decimal or too long.
    pub fn of(service: Service, prefix: Option<Digits>) -> Option<Path> {
        let prefix = prefix.unwrap_or_default();
        if prefix.len() > Digits::LENGTH_MAX {
            return None;
        }
        let mut path = (service as u128) << Self::SERVICE_SHIFT;
        for (position, digit) in prefix.iter().enumerate() {
            if digit > 9 {
                return None;
            }
            path |= u128::from(digit + 1) << Self::shift(position);
        }
        Some(Path(path))
    }

    fn shift(position: usize) -> usize {
        4 * (Digits::LENGTH_MAX - 1 - position)
    }

    fn service(self) -> usize {
        (self.0 >> Self::SERVICE_SHIFT) as usize
    }

    /// None past the end of the prefix.
    fn digit(self, position: usize) -> Option<u8> {
        if position >= Digits::LENGTH_MAX {
            return None;
        }
        ((self.0 >> Self::shift(position)) as u8 & 0x0f).checked_sub(1)
    }

    /// The digits from `place` on as in [`Digits::packed_from`], and how many they are.
    fn packed_from(self, place: usize) -> (u64, u8) {
        let digits = (place..).map_while(|position| self.digit(position));
        digits.zip(0u8..).fold((0, 0), |(packed, _), (digit, length)| {
            (packed | u64::from(digit) << (60 - 4 * length.min(15)), length + 1)
        })
    }
}

/// What must hold besides the prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    /// Digits after a leading 1; zero is any network. Longer codes are greater numbers.
    pub network: u32,
    pub rating_group: Option<u32>,
    pub service_identifier: Option<u32>,
    pub direction: Option<Direction>,
    pub origin: Option<Digits>,
}

impl Condition {
    const NONE: Condition = Condition {
        network: 0,
        rating_group: None,
        service_identifier: None,
        direction: None,
        origin: None,
    };
    pub const NETWORK_DIGITS_MAX: usize = 6;

    pub fn network_key(code: Digits, length: usize) -> u32 {
        let digits = code.iter().take(length);
        digits.fold(1, |key: u32, digit| key.wrapping_mul(10).wrapping_add(u32::from(digit)))
    }

    fn holds(&self, query: &RateQuery) -> bool {
        self.service_identifier.is_none_or(|wanted| query.service_identifier == Some(wanted))
            && self.rating_group.is_none_or(|wanted| query.rating_group == Some(wanted))
            && self.direction.is_none_or(|wanted| query.direction == wanted)
            && self
                .origin
                .is_none_or(|wanted| query.origin.is_some_and(|caller| caller.starts_with(wanted)))
    }
}

/// What a node of the trie leads to: nothing, a rate without further condition, or a group of candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Target(u32);

impl Target {
    const NOTHING: Target = Target(u32::MAX);
    const GROUP: u32 = 1 << 31;

    fn group(self) -> Option<usize> {
        (self != Self::NOTHING && self.0 & Self::GROUP != 0)
            .then_some((self.0 & !Self::GROUP) as usize)
    }
}

#[derive(Clone, Copy, Debug)]
struct Node {
    /// The first child, or the first of the tails.
    next: u32,
    target: Target,
    /// Bit d: there is a child for digit d. Children are in digit order.
    digits: u16,
    /// How many tails there are in place of children.
    tails: u8,
    /// How many digits lead here.
    depth: u8,
}

/// The end of a prefix. Those of one node stand longest first.
#[derive(Clone, Copy, Debug)]
struct Tail {
    /// As in [`Digits::packed_from`].
    digits: u64,
    length: u8,
    target: Target,
}

impl Tail {
    const LENGTH_MAX: usize = 16;

    fn begins(&self, digits: u64, length: usize) -> bool {
        let length_own = usize::from(self.length);
        length_own <= length && (digits ^ self.digits) >> (4 * (Self::LENGTH_MAX - length_own)) == 0
    }
}

/// Where the trie stands after the first digits.
#[derive(Clone, Copy, Debug)]
struct Entrance {
    node: Node,
    target: Target,
}

impl Entrance {
    const DIGITS: usize = 4;
    const COUNT: usize = 10usize.pow(Self::DIGITS as u32);
    /// Smaller tries stay in the cache without a table of 160 kB.
    const NODES_MIN: usize = 16_384;
}

/// Candidates of one prefix, the most specific first.
#[derive(Clone, Copy, Debug)]
struct Group {
    start: u32,
    end: u32,
    /// Bit n: there are network codes of n digits; bit 0: candidates for any network.
    network_lengths: u8,
    /// Where to look when none of them holds: the next shorter prefix.
    shorter: Target,
}

#[derive(Clone, Copy, Debug, Default)]
struct Tree {
    root: Option<u32>,
    /// Start of the entrance table, if there is one.
    entrances: Option<u32>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    trees: [Tree; Service::ALL.len()],
    nodes: Vec<Node>,
    tails: Vec<Tail>,
    entrances: Vec<Entrance>,
    groups: Vec<Group>,
    candidates: Vec<(Condition, RateIndex)>,
}

impl Index {
    pub fn find(&self, query: &RateQuery) -> Option<RateIndex> {
        let tree = self.trees.get(query.service as usize)?;
        let mut target = self.longest(tree, query.destination.unwrap_or_default())?;
        while let Some(group) = target.group() {
            let group = self.groups.get(group)?;
            if let Some(rate) = self.choose(group, query) {
                return Some(rate);
            }
            target = group.shorter;
        }
        (target != Target::NOTHING).then_some(RateIndex(target.0))
    }

    /// What the longest prefix of the number leads to.
    fn longest(&self, tree: &Tree, number: Digits) -> Option<Target> {
        let root = self.nodes.get(tree.root? as usize)?;
        let (mut node, mut target) = match self.entrance(tree, number) {
            Some(entrance) => (&entrance.node, entrance.target),
            None => (root, root.target),
        };
        while node.tails == 0 {
            let digit = number.digit(usize::from(node.depth));
            let Some(child) = digit.and_then(|digit| node.child(digit)) else {
                return Some(target);
            };
            node = self.nodes.get(child as usize)?;
            if node.target != Target::NOTHING {
                target = node.target;
            }
        }
        let tails = self.tails.get(node.next as usize..)?.get(..usize::from(node.tails))?;
        let depth = usize::from(node.depth);
        let (digits, length) = (number.packed_from(depth), number.len().saturating_sub(depth));
        let longest = tails.iter().find(|tail| tail.begins(digits, length));
        Some(longest.map_or(target, |tail| tail.target))
    }

    /// None for numbers that are too short, and for service codes.
    fn entrance(&self, tree: &Tree, number: Digits) -> Option<&Entrance> {
        let start = tree.entrances? as usize;
        let mut offset = 0;
        for place in 0..Entrance::DIGITS {
            let digit = number.digit(place).filter(|digit| *digit < 10)?;
            offset = offset * 10 + usize::from(digit);
        }
        self.entrances.get(start + offset)
    }

    fn choose(&self, group: &Group, query: &RateQuery) -> Option<RateIndex> {
        let candidates = self.candidates.get(group.start as usize..group.end as usize)?;
        let code = query.serving_network.unwrap_or_default();
        for length in (0..=Condition::NETWORK_DIGITS_MAX.min(code.len())).rev() {
            if group.network_lengths & (1 << length) == 0 {
                continue;
            }
            let network = if length == 0 { 0 } else { Condition::network_key(code, length) };
            let first = candidates.partition_point(|(condition, _)| condition.network > network);
            let same = candidates.iter().skip(first);
            let found = same
                .take_while(|(condition, _)| condition.network == network)
                .find(|(condition, _)| condition.holds(query));
            if let Some((_, rate)) = found {
                return Some(*rate);
            }
        }
        None
    }
}

impl Node {
    fn child(&self, digit: u8) -> Option<u32> {
        let bit = 1u16.checked_shl(u32::from(digit))?;
        if self.digits & bit == 0 {
            return None;
        }
        Some(self.next + (self.digits & (bit - 1)).count_ones())
    }
}
