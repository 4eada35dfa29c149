//! Lookup of a rate: a digit trie over destination prefixes, and beneath it the other parts of the match.
//!
//! All of it lies in three vectors. A node is 12 octets with its children side by side; large decks
//! enter the trie at the fourth digit through a table. A lookup allocates nothing.

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
    children: u32,
    target: Target,
    /// Bit d: there is a child for digit d. Children are in digit order.
    digits: u16,
}

/// Where the trie stands after the first digits.
#[derive(Clone, Copy, Debug)]
struct Entrance {
    /// `Entrance::CLOSED` when no longer prefix begins so.
    node: u32,
    target: Target,
}

impl Entrance {
    const CLOSED: u32 = u32::MAX;
    const DIGITS: usize = 4;
    const COUNT: usize = 10usize.pow(Self::DIGITS as u32);
    /// Smaller tries stay in the cache without a table of 80 kB.
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
        let mut node = self.nodes.get(tree.root? as usize)?;
        let mut depth = 0;
        let mut target = node.target;
        if let Some(entrance) = self.entrance(tree, number) {
            target = entrance.target;
            if entrance.node == Entrance::CLOSED {
                return Some(target);
            }
            node = self.nodes.get(entrance.node as usize)?;
            depth = Entrance::DIGITS;
        }
        while let Some(digit) = number.digit(depth) {
            let Some(child) = node.child(digit) else { break };
            node = self.nodes.get(child as usize)?;
            if node.target != Target::NOTHING {
                target = node.target;
            }
            depth += 1;
        }
        Some(target)
    }

    fn entrance(&self, tree: &Tree, number: Digits) -> Option<&Entrance> {
        let start = tree.entrances? as usize;
        if number.len() < Entrance::DIGITS {
            return None;
        }
        let leading = number.iter().take(Entrance::DIGITS);
        let offset = leading.fold(0, |offset, digit| offset * 10 + usize::from(digit));
        self.entrances.get(start..start + Entrance::COUNT)?.get(offset)
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
        Some(self.children + (self.digits & (bit - 1)).count_ones())
    }
}

/// A node whose children are still to be made, and the rows beneath it.
struct Pending<'a> {
    node: usize,
    rows: &'a [Row],
    depth: usize,
    shorter: Target,
}

impl Index {
    /// From rows in [`Row::order`], no two of them alike.
    pub fn build(rows: &[Row]) -> Index {
        let mut index = Index::default();
        for rows in rows.chunk_by(|a, b| a.path.service() == b.path.service()) {
            let Some(first) = rows.first() else { continue };
            let tree = index.build_tree(rows);
            if let Some(slot) = index.trees.get_mut(first.path.service()) {
                *slot = tree;
            }
        }
        index.nodes.shrink_to_fit();
        index.candidates.shrink_to_fit();
        index
    }

    fn build_tree(&mut self, rows: &[Row]) -> Tree {
        let root = self.nodes.len();
        self.nodes.push(Node { children: 0, target: Target::NOTHING, digits: 0 });
        let mut pending = std::collections::VecDeque::new();
        pending.push_back(Pending { node: root, rows, depth: 0, shorter: Target::NOTHING });
        while let Some(Pending { node, rows, depth, shorter }) = pending.pop_front() {
            let own = rows.iter().take_while(|row| row.path.digit(depth).is_none()).count();
            let (own, longer) = rows.split_at(own);
            let target = self.add_target(own, shorter);
            let shorter = if target == Target::NOTHING { shorter } else { target };
            let children = self.nodes.len();
            let mut digits = 0u16;
            for rows in longer.chunk_by(|a, b| a.path.digit(depth) == b.path.digit(depth)) {
                let digit = rows.first().and_then(|row| row.path.digit(depth)).unwrap_or(0);
                digits |= 1 << digit;
                let node = self.nodes.len();
                self.nodes.push(Node { children: 0, target: Target::NOTHING, digits: 0 });
                pending.push_back(Pending { node, rows, depth: depth + 1, shorter });
            }
            if let Some(slot) = self.nodes.get_mut(node) {
                *slot = Node { children: children as u32, target, digits };
            }
        }
        let entrances = (self.nodes.len() - root >= Entrance::NODES_MIN)
            .then(|| self.build_entrances(root as u32));
        Tree { root: Some(root as u32), entrances }
    }

    fn add_target(&mut self, rows: &[Row], shorter: Target) -> Target {
        match rows {
            [] => Target::NOTHING,
            [only] if only.condition == Condition::NONE => Target(only.rate),
            _ => {
                let start = self.candidates.len() as u32;
                let candidates = rows.iter().map(|row| (row.condition, RateIndex(row.rate)));
                self.candidates.extend(candidates);
                let network_lengths = rows.iter().fold(0, |lengths, row| {
                    lengths | 1 << row.condition.network.checked_ilog10().unwrap_or(0)
                });
                let end = self.candidates.len() as u32;
                self.groups.push(Group { start, end, network_lengths, shorter });
                Target(Target::GROUP | (self.groups.len() - 1) as u32)
            }
        }
    }

    fn build_entrances(&mut self, root: u32) -> u32 {
        let start = self.entrances.len();
        for leading in 0..Entrance::COUNT {
            let mut node = Some(root);
            let mut target = Target::NOTHING;
            for place in (0..=Entrance::DIGITS as u32).rev() {
                let Some(known) = node.and_then(|node| self.nodes.get(node as usize)) else {
                    break;
                };
                if known.target != Target::NOTHING {
                    target = known.target;
                }
                if place > 0 {
                    node = known.child((leading / 10usize.pow(place - 1) % 10) as u8);
                }
            }
            self.entrances.push(Entrance { node: node.unwrap_or(Entrance::CLOSED), target });
        }
        start as u32
    }
}
