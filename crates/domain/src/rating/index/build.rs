//! From rows in order to the trie.

use std::collections::VecDeque;

use super::{Condition, Entrance, Group, Index, Node, RateIndex, Row, Tail, Target, Tree};

/// A node whose children are still to be made, and the rows at and beneath it.
struct Pending<'a> {
    node: usize,
    rows: &'a [Row],
    depth: usize,
    /// What the next shorter prefix leads to.
    shorter: Target,
}

impl Index {
    /// So many rows in a row are compared sooner than walked to.
    const TAILS_MAX: usize = 8;

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
        index.tails.shrink_to_fit();
        index.candidates.shrink_to_fit();
        index
    }

    fn build_tree(&mut self, rows: &[Row]) -> Tree {
        let (root, tails) = (self.nodes.len(), self.tails.len());
        self.nodes.push(Node::empty(0));
        let mut pending = VecDeque::new();
        pending.push_back(Pending { node: root, rows, depth: 0, shorter: Target::NOTHING });
        while let Some(Pending { node, rows, depth, shorter }) = pending.pop_front() {
            let own = rows.iter().take_while(|row| row.path.digit(depth).is_none()).count();
            let (own, longer) = rows.split_at(own);
            let target = self.add_target(own, shorter);
            let shorter = if target == Target::NOTHING { shorter } else { target };
            let mut built = Node { target, ..Node::empty(depth) };
            if Self::are_tails(longer, depth) {
                built.next = self.tails.len() as u32;
                built.tails = self.add_tails(longer, depth, shorter);
            } else {
                built.next = self.nodes.len() as u32;
                for rows in longer.chunk_by(|a, b| a.path.digit(depth) == b.path.digit(depth)) {
                    let digit = rows.first().and_then(|row| row.path.digit(depth)).unwrap_or(0);
                    built.digits |= 1 << digit;
                    let node = self.nodes.len();
                    self.nodes.push(Node::empty(depth + 1));
                    pending.push_back(Pending { node, rows, depth: depth + 1, shorter });
                }
            }
            if let Some(slot) = self.nodes.get_mut(node) {
                *slot = built;
            }
        }
        let size = self.nodes.len() - root + self.tails.len() - tails;
        let entrances = (size >= Entrance::NODES_MIN).then(|| self.build_entrances(root as u32));
        Tree { root: Some(root as u32), entrances }
    }

    fn are_tails(rows: &[Row], depth: usize) -> bool {
        (1..=Self::TAILS_MAX).contains(&rows.len())
            && rows.iter().all(|row| row.path.digit(depth + Tail::LENGTH_MAX).is_none())
    }

    /// Returns how many prefixes there are.
    fn add_tails(&mut self, rows: &[Row], depth: usize, shorter: Target) -> u8 {
        let first = self.tails.len();
        for rows in rows.chunk_by(|a, b| a.path == b.path) {
            let Some(row) = rows.first() else { continue };
            let (digits, length) = row.path.packed_from(depth);
            // Prefixes come before their extensions.
            let mut shorter_ones = self.tails.iter().skip(first).rev();
            let next_shorter = shorter_ones.find(|tail| tail.begins(digits, usize::from(length)));
            let shorter = next_shorter.map_or(shorter, |tail| tail.target);
            let target = self.add_target(rows, shorter);
            self.tails.push(Tail { digits, length, target });
        }
        let tails = self.tails.get_mut(first..).unwrap_or_default();
        tails.sort_by_key(|tail| std::cmp::Reverse(tail.length));
        tails.len() as u8
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
            let entrance = self.entrance_by(root, leading);
            self.entrances.push(entrance);
        }
        start as u32
    }

    fn entrance_by(&self, root: u32, leading: usize) -> Entrance {
        let mut entrance = Entrance { node: Node::empty(0), target: Target::NOTHING };
        let mut next = Some(root);
        for place in (0..=Entrance::DIGITS as u32).rev() {
            let Some(node) = next.and_then(|node| self.nodes.get(node as usize)) else { break };
            entrance.node = *node;
            if node.target != Target::NOTHING {
                entrance.target = node.target;
            }
            if node.tails > 0 || place == 0 {
                break;
            }
            next = node.child((leading / 10usize.pow(place - 1) % 10) as u8);
        }
        entrance
    }
}

impl Node {
    fn empty(depth: usize) -> Node {
        Node { next: 0, target: Target::NOTHING, digits: 0, tails: 0, depth: depth as u8 }
    }
}
