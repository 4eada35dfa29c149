//! Requests under way on one connection, each until its answer is durable.

use std::collections::VecDeque;

use diameter_protocol::message::Header;

use super::to_domain::Shape;

/// A request that waits for its answer.
pub(super) struct Pending {
    pub header: Header,
    pub shape: Shape,
    pub echoed: Echoed,
}

/// What the answer repeats of the request.
#[derive(Default)]
pub(super) struct Echoed {
    pub session_id: Vec<u8>,
    pub proxy_info: Vec<u8>,
    /// Shown when rating fails, which has to name what it failed on.
    pub service_context: Vec<u8>,
}

/// By the numbers they were submitted under, which grow by one: answers come nearly in that order.
#[derive(Default)]
pub(super) struct Waiting {
    /// The number of the first slot.
    first: u64,
    slots: VecDeque<Option<Pending>>,
    count: usize,
    /// Of requests that were answered: the next are written into the same memory.
    spare: Vec<Echoed>,
}

/// As many as are usually under way.
const SPARE_MAX: usize = 512;

impl Waiting {
    pub fn len(&self) -> usize {
        self.count
    }

    /// To be filled for the next request; what it held is gone.
    pub fn spare(&mut self) -> Echoed {
        let mut echoed = self.spare.pop().unwrap_or_default();
        echoed.session_id.clear();
        echoed.proxy_info.clear();
        echoed.service_context.clear();
        echoed
    }

    pub fn give_back(&mut self, echoed: Echoed) {
        if self.spare.len() < SPARE_MAX {
            self.spare.push(echoed);
        }
    }

    /// The number is greater than all before it.
    pub fn insert(&mut self, number: u64, pending: Pending) {
        if self.slots.is_empty() {
            self.first = number;
        }
        // Numbers in between are of commands that nobody on the wire waits for.
        let place = usize::try_from(number - self.first).expect("few are under way");
        self.slots.resize_with(place, || None);
        self.slots.push_back(Some(pending));
        self.count += 1;
    }

    pub fn remove(&mut self, number: u64) -> Option<Pending> {
        let place = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let pending = self.slots.get_mut(place)?.take()?;
        self.count -= 1;
        while let Some(None) = self.slots.front() {
            self.slots.pop_front();
            self.first += 1;
        }
        Some(pending)
    }
}

#[cfg(test)]
mod tests {
    use diameter_protocol::credit_control::RequestType;
    use tandem_domain::charging::GroupKey;

    use super::*;

    fn pending(number: u32) -> Pending {
        let shape = Shape {
            request_type: RequestType::Update,
            number,
            in_groups: true,
            is_of_3gpp: true,
            action: None,
            group: GroupKey::default(),
        };
        let header = Header {
            version: 1,
            length: 0,
            flags: 0x80,
            command: 272,
            application: 4,
            hop_by_hop: number,
            end_to_end: number,
        };
        Pending { header, shape, echoed: Echoed::default() }
    }

    #[test]
    fn each_request_is_found_once_in_whatever_order_answers_come() {
        let mut waiting = Waiting::default();
        for number in [3, 4, 7, 8] {
            waiting.insert(number, pending(number as u32));
        }
        assert_eq!(waiting.len(), 4);
        let mut found = |number| waiting.remove(number).map(|pending| pending.header.hop_by_hop);
        let answered = [4, 4, 5, 3, 8, 2, 9, 7, 7].map(&mut found);
        let expected = [Some(4), None, None, Some(3), Some(8), None, None, Some(7), None];
        assert_eq!(answered, expected);
        assert_eq!(waiting.len(), 0);
        waiting.insert(12, pending(12));
        assert!(waiting.remove(12).is_some());
    }
}
