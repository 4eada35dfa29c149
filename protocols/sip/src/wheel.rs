//! Timers in slots of time: setting and firing cost the same however many wait.

use crate::Millis;

/// Milliseconds of one slot: how late a timer may fire.
pub const SLOT_MILLIS: u64 = 8;
const SLOTS: usize = 8192;

/// Keys to be woken. What a key waits for, and whether it still does, its owner knows.
#[derive(Debug)]
pub struct Wheel {
    slots: Vec<Vec<(u64, u64)>>,
    /// Slots before this one are empty.
    next: u64,
    len: usize,
}

impl Default for Wheel {
    fn default() -> Wheel {
        Wheel { slots: (0..SLOTS).map(|_| Vec::new()).collect(), next: 0, len: 0 }
    }
}

impl Wheel {
    pub fn set(&mut self, at: Millis, key: u64) {
        let slot = (at.0 / SLOT_MILLIS + 1).max(self.next);
        self.slots[slot as usize % SLOTS].push((slot, key));
        self.len += 1;
    }

    /// Every key whose time has come.
    pub fn due(&mut self, now: Millis, mut fire: impl FnMut(u64)) {
        let current = now.0 / SLOT_MILLIS;
        if self.len == 0 {
            self.next = self.next.max(current);
            return;
        }
        // After a long sleep every slot is looked at once.
        let from = self.next.max(current.saturating_sub(SLOTS as u64 - 1));
        for slot in from..=current {
            let entries = &mut self.slots[slot as usize % SLOTS];
            if entries.is_empty() {
                continue;
            }
            let before = entries.len();
            entries.retain(|(due, key)| {
                let waits = *due > current;
                if !waits {
                    fire(*key);
                }
                waits
            });
            self.len -= before - entries.len();
            if entries.is_empty() {
                // Its room serves the slots to come: thousands that each keep their own would be a lot.
                *entries = Vec::new();
            }
        }
        self.next = current + 1;
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}
